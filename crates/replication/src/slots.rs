use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use walship_protocol::wire::{ErrorFields, put_command_complete};
use walship_protocol::{ResultSet, SlotName};

use super::channel::ConnectionError;
use super::host::ReplicationHost;
use super::serve::{Serving, blocking};

/// How often DROP_REPLICATION_SLOT ... WAIT looks whether the slot is free.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// SQLSTATE of a slot in use.
const OBJECT_IN_USE: &str = "55006";

pub(super) fn read(host: &dyn ReplicationHost, name: &SlotName) -> ResultSet {
    let history = host.history();
    let position = |restart| (restart, history.timeline_at(restart));
    let slot = host.slots().read(name);
    ResultSet::read_replication_slot(slot.map(|slot| slot.restart.is_valid().then(|| position(slot.restart))))
}

pub(super) async fn create(
    host: &Arc<dyn ReplicationHost>,
    name: SlotName,
    temporary_owner: Option<i32>,
    reserve_wal: bool,
) -> Result<ResultSet, ErrorFields> {
    let host = Arc::clone(host);
    blocking(move || {
        host.slots().create(&name, temporary_owner, reserve_wal)?;
        Ok(ResultSet::create_replication_slot(name.as_str()))
    })
    .await?
}

/// Removes a slot; with `wait` as soon as nobody uses it, or the client goes.
pub(super) async fn drop_slot<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    name: SlotName,
    wait: bool,
) -> Result<(), ConnectionError> {
    loop {
        let (host, slot) = (Arc::clone(&serving.host), name.clone());
        let removed = blocking(move || host.slots().remove(&slot)).await.and_then(|removed| removed);
        match removed {
            Ok(()) => {
                put_command_complete(&mut serving.outbound.buffer, "DROP_REPLICATION_SLOT");
                serving.outbound.ready();
                return Ok(());
            }
            Err(error) if wait && error.sqlstate == OBJECT_IN_USE => {}
            Err(error) => {
                serving.outbound.refuse(&error);
                return Ok(());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(WAIT_STEP) => {}
            gone = serving.inbound.next() => {
                // a client that waits has nothing to say but good-bye
                gone?;
                return Err(ConnectionError::Closed);
            }
        }
    }
}
