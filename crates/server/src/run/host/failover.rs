use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use walship_protocol::wire::ErrorFields;
use walship_replication::{FailoverHost, SwitchedOver, Switchover, TimelineStart};
use walship_sql::catalog::{FailoverRow, FenceRow, PromotionRow};
use walship_types::{Lsn, SystemId, TimelineHistory, TimelineId};

use super::Host;
use crate::run::Node;
use crate::run::promotion::Wanted;
use crate::run::switchover::switch_over;

/// How long a node that takes over may take.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(60);

impl Node {
    /// Roles, and how they came about, for the view.
    pub(super) fn failover_row(&self) -> FailoverRow {
        let role = match (self.is_follower(), self.failover.is_fenced()) {
            (true, _) => "follower",
            (false, true) => "fenced",
            (false, false) => "leader",
        };
        let promotion = self.failover.promotion().map(|done| PromotionRow {
            time: done.time,
            took: done.took,
            switch_lsn: done.switch_lsn,
            behind: done.behind,
            old_leader: done.old_leader.name(),
            old_leader_detail: done.old_leader.detail().map(str::to_owned),
        });
        let fence = self.failover.fence().map(|fence| FenceRow {
            node: fence.node,
            timeline: fence.timeline.0,
            switch_lsn: fence.switch_lsn,
            time: fence.time,
        });
        FailoverRow {
            role,
            timeline: self.log().history().timeline.0,
            leader_silent: self.is_follower().then(|| self.failover.silence()),
            promotion,
            fence,
        }
    }
}

impl FailoverHost for Host {
    fn fence(&self, system_id: SystemId, history: &TimelineHistory, node: &str) -> Result<Lsn, ErrorFields> {
        Ok(self.learn_of(system_id, history, node)?)
    }

    fn pledge(&self, timeline: TimelineId, time: Duration) -> Result<(TimelineId, Lsn), ErrorFields> {
        if !self.is_follower() {
            return Err(ErrorFields::error("55000", "this node is not a follower"));
        }
        self.failover.pledge(timeline, time);
        tracing::info!(event = "pledged", %timeline, ms = time.as_millis(), "nothing is received from a timeline before {timeline}");
        // after the pledge: what is durable now is all that an older sender was, or will be, told of
        Ok((self.log().history().timeline, self.log().positions().flush.get()))
    }

    fn take_over(&self, end: Lsn, timeline: TimelineId) -> Result<TimelineStart, ErrorFields> {
        if !self.is_follower() {
            return Err(ErrorFields::error("55000", "this node is not a follower"));
        }
        let number = self.promotions.ask(Wanted::TakeOver { end, timeline });
        match self.promotions.wait(number, Instant::now() + TAKE_OVER_WAIT) {
            None => Err(ErrorFields::error("57014", "the promotion is still under way")),
            Some(Err(error)) => Err(error.into_error().into()),
            Some(Ok(())) => {
                let promotion = self.failover.promotion();
                let began =
                    promotion.map(|done| TimelineStart { timeline: done.timeline, start: done.switch_lsn });
                began.ok_or_else(|| ErrorFields::error("XX000", "the promotion left no trace"))
            }
        }
    }

    fn switch_over(
        &self,
        wanted: Switchover,
    ) -> Pin<Box<dyn Future<Output = Result<SwitchedOver, ErrorFields>> + Send + '_>> {
        Box::pin(switch_over(self, wanted))
    }
}
