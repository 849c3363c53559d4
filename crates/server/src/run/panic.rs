/// Name of the threads that run connections' tasks; see [`stop_on_panic`].
pub(super) const TASK_THREAD: &str = "connections";
/// Threads of which a panic ends a connection, and nothing else.
const OF_ONE_CONNECTION: [&str; 3] = [crate::listen::SESSION_THREAD, super::host::SENDER_THREAD, TASK_THREAD];

/// From now on a panic ends the process, as PostgreSQL's PANIC does: a node without its replay, its checkpointer or
/// its log writer would go on silently, and promise what nobody keeps. A restart recovers.
///
/// A session's panic ends that session, whose client is told so. The task that accepts connections runs beside those
/// of connections; whoever waits for it stops the node when it ends.
pub(super) fn stop_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("of an unknown kind");
        if OF_ONE_CONNECTION.contains(&thread) {
            tracing::error!(event = "session_panic", thread, place, "panic in a session: {reason}");
            return;
        }
        tracing::error!(event = "panic", thread, place, "panic in thread \"{thread}\": {reason}");
        eprintln!("PANIC: thread \"{thread}\" failed at {place}: {reason}; restart to recover");
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    const THREAD: &str = "WALSHIP_TEST_PANIC_IN";

    #[test]
    fn a_panic_ends_the_process_unless_it_is_a_sessions() {
        if let Ok(name) = std::env::var(THREAD) {
            stop_on_panic();
            let thread = std::thread::Builder::new().name(name).spawn(|| panic!("what went wrong")).unwrap();
            assert!(thread.join().is_err());
            return;
        }
        for (name, ends) in [
            ("replay", true),
            ("checkpointer", true),
            ("maintenance", true),
            ("wal receiver", true),
            ("session", false),
            ("wal sender", false),
            (TASK_THREAD, false),
        ] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "run::panic::tests::a_panic_ends_the_process_unless_it_is_a_sessions",
                    "--nocapture",
                ])
                .env(THREAD, name)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            if ends {
                assert_eq!(output.status.signal(), Some(6), "{name}: {said}");
                assert!(said.contains(&format!("PANIC: thread \"{name}\" failed at ")), "{said}");
                assert!(said.contains("what went wrong; restart to recover"), "{said}");
            } else {
                assert_eq!(output.status.code(), Some(0), "{name}: {said}");
            }
        }
    }
}
