use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use walship_protocol::wire::{
    self, PROTOCOL_MINOR_MAX, Severity, SqlState, StartupParameters, TransactionStatus,
};
use walship_settings::{SessionSettings, parse_startup_options};

use super::{Session, Transaction};
use crate::channel::{Channel, ChannelError};
use crate::error::SqlError;
use crate::guard::Guard;
use crate::host::{Activity, ClientAddress, Registration, SessionHost, SessionStart};
use crate::plan::PlanCache;
use crate::roles::Identity;
use crate::signals::Signals;
use crate::timer::Timer;

/// A client whose StartupMessage was read, and what its session needs.
pub struct Connecting {
    /// What it asked for.
    pub parameters: StartupParameters,
    /// Where it comes from.
    pub client: ClientAddress,
    /// Who it is.
    pub identity: Identity,
    /// Bytes that were read behind the StartupMessage.
    pub received: Vec<u8>,
    /// The node.
    pub host: Arc<dyn SessionHost>,
    /// Watches its time limits.
    pub timer: Arc<Timer>,
    /// How others reach it.
    pub signals: Arc<Signals>,
}

/// Runs a session on this thread until it is over. The stream blocks.
///
/// # Errors
/// When the client went away without a goodbye, or does not speak the protocol.
pub fn run_session<S: Read + Write>(stream: S, connecting: Connecting) -> Result<(), ChannelError> {
    let opened = open(&connecting);
    let mut channel = Channel::new(stream, connecting.received);
    let (registration, start, engine) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            wire::put_error(&mut channel.output, error.with_severity(Severity::Fatal).report());
            return channel.send();
        }
    };
    let guard = Guard::install(engine.connection(), Arc::clone(&start.signals));
    let clock = connecting.timer.clock(Arc::clone(&start.signals));
    let mut session = Session {
        channel,
        prepared: HashMap::new(),
        portals: HashMap::new(),
        plans: PlanCache::default(),
        engine,
        guard,
        host: connecting.host,
        start,
        registration,
        clock,
        transaction: Transaction::default(),
        unacknowledged: None,
        has_read: false,
        skips_to_sync: false,
        is_active: false,
        was_undone: false,
        settings_changed: false,
        told_cluster: None,
    };
    session.greet();
    let result = session.serve();
    session.close();
    result
}

type Opened = (Box<dyn Registration>, SessionStart, Box<dyn crate::host::SessionEngine>);

fn open(connecting: &Connecting) -> Result<Opened, SqlError> {
    let Connecting { parameters, client, identity, host, signals, .. } = connecting;
    host.admit()?;
    let mut settings = host.settings(identity);
    apply(&mut settings, parameters)?;
    let registration = host.register(parameters, *client, identity, Arc::clone(signals))?;
    let start = SessionStart {
        parameters: parameters.clone(),
        client: *client,
        identity: identity.clone(),
        pid: registration.pid(),
        settings: Arc::new(Mutex::new(settings)),
        signals: Arc::clone(signals),
    };
    let engine = host.open(&start)?;
    registration.activity(Activity::Idle);
    Ok((registration, start, engine))
}

// what the StartupMessage sets: its `options`, then every other parameter that is a setting
fn apply(settings: &mut SessionSettings, parameters: &StartupParameters) -> Result<(), SqlError> {
    if let Some(options) = parameters.get("options") {
        let parsed = parse_startup_options(options).map_err(|word| {
            SqlError::fatal(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
        })?;
        for (name, value) in parsed {
            settings.set_at_startup(&name, &value).map_err(SqlError::from)?;
        }
    }
    for (name, value) in parameters.settings() {
        settings.set_at_startup(name, value).map_err(SqlError::from)?;
    }
    Ok(())
}

impl<S: Read + Write> Session<S> {
    fn greet(&mut self) {
        let output = &mut self.channel.output;
        let unknown = self.start.parameters.unknown_protocol_options();
        if self.start.parameters.minor() > PROTOCOL_MINOR_MAX || !unknown.is_empty() {
            wire::put_negotiate_protocol_version(output, i32::from(PROTOCOL_MINOR_MAX), &unknown);
        }
        wire::put_authentication_ok(output);
        let mut settings = self.start.settings.lock();
        let cluster = settings.cluster();
        for (name, value) in settings.report_all() {
            wire::put_parameter_status(output, name, &value);
        }
        self.told_cluster = Some(cluster);
        drop(settings);
        wire::put_backend_key_data(output, self.registration.pid(), self.registration.key());
        wire::put_ready_for_query(output, TransactionStatus::Idle);
    }

    /// Undoes what was not committed and lets the turn go.
    fn close(&mut self) {
        self.clock.disarm();
        self.start.signals.finish();
        self.portals.clear();
        self.prepared.clear();
        self.plans.clear();
        self.roll_back();
    }
}
