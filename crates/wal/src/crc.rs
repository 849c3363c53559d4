use crc32fast::Hasher;
use walship_types::{SystemId, TimelineId};

/// What the checksums of one timeline of one cluster start from, so that a record of
/// another cluster or timeline does not check out even at the same position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CrcSeed(u32);

impl CrcSeed {
    /// CRC-32 of the system identifier (8 bytes) and the timeline (4 bytes), little-endian.
    pub(crate) fn new(system_id: SystemId, timeline: TimelineId) -> CrcSeed {
        let mut hasher = Hasher::new();
        hasher.update(&system_id.0.to_le_bytes());
        hasher.update(&timeline.0.to_le_bytes());
        CrcSeed(hasher.finalize())
    }

    pub(crate) fn start(self) -> Hasher {
        Hasher::new_with_initial(self.0)
    }

    pub(crate) fn of(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = self.start();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}
