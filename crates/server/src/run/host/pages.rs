use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use walship_engine::PageSource;
use walship_node::SenderGuard;
use walship_protocol::wire::ErrorFields;
use walship_replication::{LogSource, PageReader};
use walship_types::{DatabaseId, Lsn, PageNo, PageSize, TimelineId};

use super::backup::{copied_until, keep_log_for};
use super::replication::engine_fields;
use crate::run::Node;

/// Reads pages of this node's databases for another one that is rewound.
pub(super) struct NodePages {
    node: Arc<Node>,
    sources: BTreeMap<DatabaseId, (PageSource, PageSize)>,
    /// Keeps the log that the other node needs as well.
    _keeps_log: SenderGuard,
}

impl NodePages {
    /// The log from `keep_from` on stays as long as this lives; 58P01 if it is not there.
    pub(super) fn open(node: Arc<Node>, keep_from: Lsn) -> Result<NodePages, ErrorFields> {
        let keeps_log = keep_log_for(&node, "rewind", keep_from);
        let source = node.log().source();
        if node.segment_size.segment_of(keep_from) < LogSource::oldest_segment(&source) {
            // reading it says which file is missing
            LogSource::read(&source, keep_from, Lsn(keep_from.0.saturating_add(1)))?;
        }
        Ok(NodePages { node, sources: BTreeMap::new(), _keeps_log: keeps_log })
    }
}

impl PageReader for NodePages {
    fn read(
        &mut self,
        database: DatabaseId,
        first: PageNo,
        count: u32,
    ) -> Result<Option<Bytes>, ErrorFields> {
        // asked each time: it may have been dropped
        let open = self.node.databases.all().into_iter().find(|open| open.id() == database);
        let Some(open) = open else {
            self.sources.remove(&database);
            return Ok(None);
        };
        let (source, page_size) = match self.sources.entry(database) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let source = open.page_source().map_err(|error| engine_fields(&self.node, &error))?;
                entry.insert((source, open.page_size()))
            }
        };
        let mut content = vec![0; page_size.bytes() * count as usize];
        let read = source.read_bytes(&mut content, page_size.offset_of(first));
        let length = read.map_err(|error| engine_fields(&self.node, &error))?;
        content.truncate(length - length % page_size.bytes());
        Ok(Some(content.into()))
    }

    fn end(&mut self) -> Result<(Lsn, TimelineId), ErrorFields> {
        let end = copied_until(&self.node, self.node.control.get().redo)?;
        Ok((end, self.node.log().history().timeline))
    }
}
