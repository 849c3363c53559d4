use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// What a signal asks for.
pub(super) enum Told {
    Reload,
    Stop,
    Quit,
}

pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Signals, Failure> {
        let install = |kind| signal(kind).map_err(|e| Failure::new(format!("could not catch signals: {e}")));
        Ok(Signals {
            hangup: install(SignalKind::hangup())?,
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            quit: install(SignalKind::quit())?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.quit.recv() => Told::Quit,
        }
    }
}
