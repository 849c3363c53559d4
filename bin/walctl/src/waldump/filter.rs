use clap::Args;
use walship_wal::payload::Payload;
use walship_wal::{Record, RecordKind};

use super::databases::{Databases, database_of};

/// Which records are shown.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Show only records of this kind; may be given several times
    #[arg(short = 'r', long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<RecordKind>,

    /// Show only records of this database, by name or id
    #[arg(long, value_name = "NAME|ID")]
    database: Option<String>,
}

fn kind(text: &str) -> Result<RecordKind, String> {
    let wanted = text.replace('-', "_").to_ascii_uppercase();
    RecordKind::ALL.into_iter().find(|kind| kind.name() == wanted).ok_or_else(|| {
        let names = RecordKind::ALL.map(|kind| kind.name().to_ascii_lowercase().replace('_', "-"));
        format!("must be one of {}", names.join(", "))
    })
}

impl Filter {
    /// Whether everything is shown.
    pub(crate) fn is_none(&self) -> bool {
        self.kinds.is_empty() && self.database.is_none()
    }

    /// Whether a record is shown. One whose payload cannot be read is about no database.
    pub(crate) fn matches(&self, record: &Record, payload: Option<&Payload<'_>>, known: &Databases) -> bool {
        let of_kind = self.kinds.is_empty() || self.kinds.contains(&record.kind);
        let database = payload.and_then(database_of);
        of_kind && self.database.as_ref().is_none_or(|wanted| database.is_some_and(|id| known.is(id, wanted)))
    }

    /// What was asked for, if it is no database.
    pub(crate) fn unknown_database(&self, known: &Databases) -> Option<&str> {
        self.database.as_deref().filter(|wanted| !known.contains(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_in_any_spelling() {
        assert_eq!(kind("commit"), Ok(RecordKind::Commit));
        assert_eq!(kind("create-database"), Ok(RecordKind::CreateDatabase));
        assert_eq!(kind("END_OF_RECOVERY"), Ok(RecordKind::EndOfRecovery));
        assert!(kind("heap").unwrap_err().starts_with("must be one of pages, commit, "));
    }
}
