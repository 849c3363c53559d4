use std::time::{Duration, Instant};

/// How long a condition may take before a test gives up on it. Generous, because a
/// busy two-core machine is slow; a condition that holds ends the wait at once.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds, at most [`DEADLINE`].
///
/// # Panics
/// With `what` in the message, when it does not hold in time.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_within(DEADLINE, what, condition);
}

/// Waits until `condition` holds, at most `limit`.
///
/// # Panics
/// With `what` in the message, when it does not hold in time.
pub fn wait_until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(POLL);
    }
}
