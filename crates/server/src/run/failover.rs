use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use walship_node::Fence;
use walship_types::{Lsn, TimelineId, Timestamp};

/// What a node knows of changes of roles, its own and others'.
#[derive(Debug)]
pub(crate) struct Failover {
    /// For a look at every commit, without the lock; set before, and cleared after, `fence`.
    fenced: AtomicBool,
    // protects the fence in force; held for a copy
    fence: Mutex<Option<Fence>>,
    // protects why and when this node last stopped leading; held for a copy
    left: Mutex<Option<Left>>,
    // protects what the last promotion in this process did; held for a copy
    promotion: Mutex<Option<Promotion>>,
    // protects the oldest timeline that is followed, and until when; held for a copy
    pledge: Mutex<Option<(TimelineId, Instant)>>,
    // protects when the leader was last heard of, on a follower; held for a copy
    heard: Mutex<Instant>,
}

/// When this node last stopped leading, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// Sessions that began before were a leader's.
    pub(crate) at: Timestamp,
    /// What they are told, as a detail.
    pub(crate) detail: String,
}

/// What a promotion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promotion {
    pub(crate) timeline: TimelineId,
    /// End of the old timeline, which is where the new one begins.
    pub(crate) switch_lsn: Lsn,
    /// Bytes between that and the last position that the old leader told of.
    pub(crate) behind: u64,
    /// When sessions could write.
    pub(crate) time: Timestamp,
    /// From the request until then.
    pub(crate) took: Duration,
    pub(crate) old_leader: OldLeader,
}

/// What became of the old leader, as far as a promotion could find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OldLeader {
    /// It handed over by itself.
    HandedOver,
    /// It is being looked for.
    Pending,
    /// It takes no writes any more.
    Fenced(String),
    /// It could not be reached, or refused.
    NotFenced(String),
    /// There is nobody to ask.
    Unknown,
}

impl OldLeader {
    /// As the view shows it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            OldLeader::HandedOver => "handed over",
            OldLeader::Pending => "pending",
            OldLeader::Fenced(_) => "fenced",
            OldLeader::NotFenced(_) => "not fenced",
            OldLeader::Unknown => "unknown",
        }
    }

    /// Which node, or why not.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            OldLeader::Fenced(detail) | OldLeader::NotFenced(detail) => Some(detail),
            _ => None,
        }
    }
}

impl Failover {
    /// With the fence that the control file has.
    pub(crate) fn new(fence: Option<Fence>) -> Failover {
        Failover {
            fenced: AtomicBool::new(fence.is_some()),
            fence: Mutex::new(fence),
            left: Mutex::default(),
            promotion: Mutex::default(),
            pledge: Mutex::default(),
            heard: Mutex::new(Instant::now()),
        }
    }

    /// Whether this node was fenced.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::SeqCst)
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        self.fence.lock().clone()
    }

    /// The first fence stays; whether this one is it.
    pub(crate) fn set_fence(&self, fence: Fence) -> bool {
        self.fenced.store(true, Ordering::SeqCst);
        let mut current = self.fence.lock();
        let first = current.is_none();
        current.get_or_insert(fence);
        first
    }

    pub(crate) fn clear_fence(&self) {
        *self.fence.lock() = None;
        self.fenced.store(false, Ordering::SeqCst);
    }

    pub(crate) fn left(&self) -> Option<Left> {
        self.left.lock().clone()
    }

    /// Notes that this node does not lead any more.
    pub(crate) fn leave(&self, detail: String) {
        *self.left.lock() = Some(Left { at: Timestamp::now(), detail });
    }

    pub(crate) fn promotion(&self) -> Option<Promotion> {
        self.promotion.lock().clone()
    }

    pub(crate) fn set_promotion(&self, promotion: Promotion) {
        *self.promotion.lock() = Some(promotion);
    }

    pub(crate) fn set_old_leader(&self, found: OldLeader) {
        if let Some(promotion) = &mut *self.promotion.lock() {
            promotion.old_leader = found;
        }
    }

    /// Follows nobody on a timeline before this one, for so long.
    pub(crate) fn pledge(&self, timeline: TimelineId, time: Duration) {
        *self.pledge.lock() = Instant::now().checked_add(time).map(|until| (timeline, until));
    }

    /// The oldest timeline that is followed, while there is a pledge.
    pub(crate) fn pledged(&self) -> Option<TimelineId> {
        self.pledge.lock().filter(|(_, until)| Instant::now() < *until).map(|(timeline, _)| timeline)
    }

    /// The leader was heard of.
    pub(crate) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// How long it has been silent.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.lock().elapsed()
    }
}
