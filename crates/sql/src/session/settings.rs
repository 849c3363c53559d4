use std::io::{Read, Write};
use std::sync::Arc;

use walship_protocol::wire::{self, SqlState};
use walship_settings::Scope;

use super::execute::text_result;
use super::{Session, Stop};
use crate::error::SqlError;

impl<S: Read + Write> Session<S> {
    /// SET, and SET ... TO DEFAULT where there is no value.
    pub(super) fn set_setting(
        &mut self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<(), SqlError> {
        if local && !self.transaction.is_open() {
            let warning = "SET LOCAL can only be used in transaction blocks";
            wire::put_error(
                &mut self.channel.output,
                SqlError::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, warning).report(),
            );
        }
        let scope = if local { Scope::Local } else { Scope::Session };
        let mut settings = self.start.settings.lock();
        match value {
            Some(value) => settings.set(name, value, scope),
            None => settings.reset(name),
        }
        .map_err(SqlError::from)?;
        drop(settings);
        self.settings_changed = true;
        self.note_change(name);
        Ok(())
    }

    /// RESET of one setting, or of all.
    pub(super) fn reset_setting(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        match name {
            Some(name) => return self.set_setting(name, None, false),
            None => self.start.settings.lock().reset_all(),
        }
        self.settings_changed = true;
        self.note_change("application_name");
        Ok(())
    }

    // what takes effect at once
    fn note_change(&mut self, name: &str) {
        if name.eq_ignore_ascii_case("statement_timeout") && self.is_active {
            self.clock.disarm();
            self.watch_statement();
        }
        if name.eq_ignore_ascii_case("application_name") {
            let shown = self.start.settings.lock().show("application_name");
            self.registration.renamed(&shown.unwrap_or_default());
        }
    }

    /// SHOW of one setting, or of all.
    pub(super) fn show_setting(&mut self, name: Option<&str>, describes: bool) -> Result<(), Stop> {
        let settings = self.start.settings.lock();
        match name {
            Some(name) => {
                let value = settings.show(name).map_err(SqlError::from)?;
                drop(settings);
                text_result(&mut self.channel.output, &[name], &[vec![Some(value)]], describes);
            }
            None => {
                let rows: Vec<Vec<Option<String>>> = settings
                    .show_all()
                    .into_iter()
                    .map(|(name, value, description)| {
                        vec![Some(name.to_owned()), Some(value), Some(description.to_owned())]
                    })
                    .collect();
                drop(settings);
                text_result(&mut self.channel.output, &["name", "setting", "description"], &rows, describes);
            }
        }
        wire::put_command_complete(&mut self.channel.output, "SHOW");
        Ok(())
    }

    /// Tells the client what changed among the settings that it is told about: by the session, a reload, a promotion.
    pub(super) fn tell_settings(&mut self) {
        let mut settings = self.start.settings.lock();
        let cluster = settings.cluster();
        let is_known = self.told_cluster.as_ref().is_some_and(|told| Arc::ptr_eq(told, &cluster));
        if !std::mem::take(&mut self.settings_changed) && is_known {
            return;
        }
        self.told_cluster = Some(cluster);
        for (name, value) in settings.report_changes() {
            wire::put_parameter_status(&mut self.channel.output, name, &value);
        }
    }
}
