use std::time::Duration;

use crate::{Value, definition};

/// Values by name, in the types that code works with.
///
/// # Panics
/// Every getter panics if the registry has no setting of that name, or one of another type: the name is a constant
/// of the program, so that this is a mistake in the program.
pub trait Typed {
    /// The value in force; `None` if there is no setting of that name.
    fn value_of(&self, name: &str) -> Option<Value>;

    /// A bool.
    fn bool(&self, name: &'static str) -> bool {
        match self.value_of(name) {
            Some(Value::Bool(value)) => value,
            other => mistaken(name, "bool", other),
        }
    }

    /// A whole number, in the setting's own unit.
    fn integer(&self, name: &'static str) -> i64 {
        match self.value_of(name) {
            Some(Value::Int(value)) => value,
            other => mistaken(name, "integer", other),
        }
    }

    /// A number that need not be whole.
    fn float(&self, name: &'static str) -> f64 {
        match self.value_of(name) {
            Some(Value::Real(value)) => value,
            other => mistaken(name, "real", other),
        }
    }

    /// A whole number that is a count: 0 where it is negative.
    fn count(&self, name: &'static str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(0)
    }

    /// A text, or an enumeration's word.
    fn text(&self, name: &'static str) -> String {
        match self.value_of(name) {
            Some(Value::Text(value)) => value,
            other => mistaken(name, "text", other),
        }
    }

    /// A time; zero where it is 0 or negative.
    fn duration(&self, name: &'static str) -> Duration {
        Duration::from_micros(steps(self.integer(name)).saturating_mul(step_of(name)))
    }

    /// A time-out; `None` where it is 0 or negative, which disables it.
    fn timeout(&self, name: &'static str) -> Option<Duration> {
        Some(self.duration(name)).filter(|duration| !duration.is_zero())
    }

    /// A size in bytes; 0 where it is negative.
    fn bytes(&self, name: &'static str) -> u64 {
        steps(self.integer(name)).saturating_mul(step_of(name))
    }

    /// A limit in bytes; `None` where it is negative, which means none.
    fn bytes_limit(&self, name: &'static str) -> Option<u64> {
        (self.integer(name) >= 0).then(|| self.bytes(name))
    }

    /// The texts of a list separated by commas, without the spaces around them.
    fn list(&self, name: &'static str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// `synchronous_commit`.
    fn synchronous_commit(&self) -> SynchronousCommit {
        match self.text("synchronous_commit").as_str() {
            "off" => SynchronousCommit::Off,
            "local" => SynchronousCommit::Local,
            "remote_write" => SynchronousCommit::RemoteWrite,
            "remote_apply" => SynchronousCommit::RemoteApply,
            _ => SynchronousCommit::On,
        }
    }
}

fn steps(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn step_of(name: &str) -> u64 {
    definition(name).map_or(1, |definition| definition.unit_of().step())
}

fn mistaken(name: &str, wanted: &str, found: Option<Value>) -> ! {
    panic!("setting {name} read as {wanted}, but the registry has {found:?}")
}

/// How far a commit must have come before its client is answered, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SynchronousCommit {
    /// Appended to the log in memory.
    Off,
    /// Durable on the leader.
    Local,
    /// Durable on the leader, written by the synchronous followers.
    RemoteWrite,
    /// Durable on the leader and on the synchronous followers.
    On,
    /// Visible to readers on the synchronous followers.
    RemoteApply,
}
