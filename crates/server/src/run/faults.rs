//! Places at which a test ends the process as a crash would, or skips a step to see its
//! checker notice. Only in builds with debug assertions; a release has none of it.

/// The variable that names the place to die at.
#[cfg(debug_assertions)]
const DIE_AT: &str = "WALSHIP_TEST_DIE_AT";
/// The variable that names what is left out.
#[cfg(debug_assertions)]
const SKIP: &str = "WALSHIP_TEST_SKIP";

/// Here a crash has to be survived.
pub(crate) fn survives_crash(place: &str) {
    #[cfg(debug_assertions)]
    if std::env::var(DIE_AT).is_ok_and(|wanted| wanted == place) {
        eprintln!("dying at {place}");
        // as kill -9 does: nothing is flushed, nobody is told
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// Whether a test wants to see what happens without a step.
pub(crate) fn is_skipped(step: &str) -> bool {
    #[cfg(debug_assertions)]
    return std::env::var(SKIP).is_ok_and(|wanted| wanted == step);
    #[cfg(not(debug_assertions))]
    {
        let _ = step;
        false
    }
}
