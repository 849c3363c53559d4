use walship_types::{DatabaseName, InvalidDatabaseName, Lsn, TimelineId};

use super::base_backup::{OptionValue, OptionsBuilder, boolean};
use super::{BaseBackupOptions, Command, CommandError, OptionError, SlotKind};
use crate::SlotName;
use crate::lexer::{LexError, Lexer, Token, TokenKind};

/// The longest piece of the text that an error repeats, in characters.
const NEAR_CHARS_MAX: usize = 40;

impl Command {
    /// Parses one command; a final `;` and white space are ignored. A text that does
    /// not start with a replication keyword gives [`CommandError::NotReplication`].
    pub fn parse(text: &str) -> Result<Command, CommandError> {
        let mut lexer = Lexer::new(text);
        // a first word that cannot be read is not ours to complain about
        let first = lexer.next().map_err(|_| CommandError::NotReplication)?;
        let TokenKind::Word(keyword) = &first.kind else { return Err(CommandError::NotReplication) };
        if !is_keyword(keyword) {
            return Err(CommandError::NotReplication);
        }
        let keyword = keyword.clone();
        let mut parser = Parser { text, lexer, token: first };
        parser.advance()?;
        let command = parser.command(&keyword)?;
        while parser.token.kind == TokenKind::Mark(';') {
            parser.advance()?;
        }
        if parser.token.kind != TokenKind::End {
            return Err(parser.unexpected());
        }
        Ok(command)
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "IDENTIFY_SYSTEM"
            | "SHOW"
            | "READ_REPLICATION_SLOT"
            | "CREATE_REPLICATION_SLOT"
            | "DROP_REPLICATION_SLOT"
            | "START_REPLICATION"
            | "TIMELINE_HISTORY"
            | "BASE_BACKUP"
            | "WALSHIP_IMPORT_DATABASE"
            | "WALSHIP_EXPORT_DATABASE"
            | "WALSHIP_READ_PAGES"
            | "WALSHIP_FENCE"
            | "WALSHIP_PLEDGE"
            | "WALSHIP_SWITCHOVER"
            | "WALSHIP_TAKE_OVER"
    )
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    token: Token,
}

impl Parser<'_> {
    fn command(&mut self, keyword: &str) -> Result<Command, CommandError> {
        match keyword {
            "SHOW" => Ok(Command::Show { name: self.dotted_name()? }),
            "READ_REPLICATION_SLOT" => {
                Ok(Command::ReadReplicationSlot { slot: self.dotted_name()?.parse()? })
            }
            "CREATE_REPLICATION_SLOT" => self.create_slot(),
            "DROP_REPLICATION_SLOT" => {
                let slot = self.slot_name()?;
                Ok(Command::DropReplicationSlot { slot, wait: self.accept("WAIT")? })
            }
            "START_REPLICATION" => self.start_replication(),
            "TIMELINE_HISTORY" => Ok(Command::TimelineHistory { timeline: self.timeline()? }),
            "BASE_BACKUP" => Ok(Command::BaseBackup(self.base_backup()?)),
            "WALSHIP_IMPORT_DATABASE" => Ok(Command::ImportDatabase { name: self.database_name()? }),
            "WALSHIP_READ_PAGES" => Ok(Command::ReadPages { keep_from: self.lsn()? }),
            "WALSHIP_EXPORT_DATABASE" => Ok(Command::ExportDatabase { name: self.database_name()? }),
            "WALSHIP_FENCE" => self.fence(),
            "WALSHIP_PLEDGE" => {
                self.expect("TIMELINE")?;
                let timeline = self.timeline()?;
                self.expect("FOR")?;
                Ok(Command::Pledge { timeline, for_ms: self.number()? })
            }
            "WALSHIP_SWITCHOVER" => {
                self.expect("TO")?;
                let to = self.text_constant()?;
                self.expect("CATCH_UP")?;
                let catch_up_ms = self.number()?;
                self.expect("HOLD")?;
                Ok(Command::Switchover { to, catch_up_ms, hold_ms: self.number()? })
            }
            "WALSHIP_TAKE_OVER" => {
                let end = self.lsn()?;
                self.expect("TIMELINE")?;
                Ok(Command::TakeOver { end, timeline: self.timeline()? })
            }
            _ => Ok(Command::IdentifySystem),
        }
    }

    fn create_slot(&mut self) -> Result<Command, CommandError> {
        let slot = self.slot_name()?;
        let temporary = self.accept("TEMPORARY")?;
        let kind = if self.accept("LOGICAL")? {
            SlotKind::Logical { plugin: self.name()? }
        } else {
            self.expect("PHYSICAL")?;
            SlotKind::Physical
        };
        let physical = kind == SlotKind::Physical;
        let mut reserve_wal = false;
        if self.accept_mark('(')? {
            for (name, value) in self.option_list()? {
                match name.as_str() {
                    "reserve_wal" if physical => reserve_wal = boolean(&name, value)?,
                    "snapshot" | "two_phase" if !physical => {}
                    _ => return Err(OptionError::Unknown(name).into()),
                }
            }
        } else {
            while let TokenKind::Word(word) = &self.token.kind {
                match word.as_str() {
                    "RESERVE_WAL" if physical => reserve_wal = true,
                    "EXPORT_SNAPSHOT" | "NOEXPORT_SNAPSHOT" | "USE_SNAPSHOT" | "TWO_PHASE" if !physical => {}
                    _ => return Err(self.unexpected()),
                }
                self.advance()?;
            }
        }
        Ok(Command::CreateReplicationSlot { slot, temporary, kind, reserve_wal })
    }

    fn start_replication(&mut self) -> Result<Command, CommandError> {
        let slot = if self.accept("SLOT")? { Some(self.slot_name()?) } else { None };
        if let Some(slot) = slot.clone()
            && self.accept("LOGICAL")?
        {
            self.lsn()?;
            if self.accept_mark('(')? {
                self.option_list()?;
            }
            return Ok(Command::StartLogicalReplication { slot });
        }
        self.accept("PHYSICAL")?;
        let start = self.lsn()?;
        let timeline = if self.accept("TIMELINE")? { Some(self.timeline()?) } else { None };
        Ok(Command::StartReplication { slot, start, timeline })
    }

    fn fence(&mut self) -> Result<Command, CommandError> {
        self.expect("SYSTEM")?;
        let text = self.text_constant()?;
        let system_id = text.parse().map_err(|_| CommandError::SystemId(text))?;
        self.expect("TIMELINE")?;
        let timeline = self.timeline()?;
        self.expect("HISTORY")?;
        let history = self.text_constant()?;
        self.expect("NODE")?;
        Ok(Command::Fence { system_id, timeline, history, node: self.text_constant()? })
    }

    fn base_backup(&mut self) -> Result<BaseBackupOptions, CommandError> {
        let mut options = OptionsBuilder::default();
        if self.accept_mark('(')? {
            for (name, value) in self.option_list()? {
                options.set(&name, value)?;
            }
            return Ok(options.finish()?);
        }
        while let TokenKind::Word(word) = self.token.kind.clone() {
            self.advance()?;
            let no = || Some(OptionValue::Text("false".to_owned()));
            match word.as_str() {
                "PROGRESS" | "WAL" | "TABLESPACE_MAP" => options.set(&word.to_ascii_lowercase(), None)?,
                "FAST" => options.set("checkpoint", Some(OptionValue::Text("fast".to_owned())))?,
                "NOWAIT" => options.set("wait", no())?,
                "NOVERIFY_CHECKSUMS" => options.set("verify_checksums", no())?,
                "LABEL" | "MANIFEST" | "MANIFEST_CHECKSUMS" => {
                    let value = OptionValue::Text(self.text_constant()?);
                    options.set(&word.to_ascii_lowercase(), Some(value))?;
                }
                "MAX_RATE" => {
                    let value = OptionValue::Number(self.number()?);
                    options.set("max_rate", Some(value))?;
                }
                _ => return Err(self.unexpected()),
            }
        }
        Ok(options.finish()?)
    }

    /// `name [value], ... )`; names come back in lower case.
    fn option_list(&mut self) -> Result<Vec<(String, Option<OptionValue>)>, CommandError> {
        let mut list = Vec::new();
        loop {
            let name = self.name()?.to_ascii_lowercase();
            let value = match self.token.kind.clone() {
                TokenKind::Text(text) | TokenKind::Word(text) | TokenKind::Quoted(text) => {
                    Some(OptionValue::Text(text))
                }
                TokenKind::Number(number) => Some(OptionValue::Number(number)),
                _ => None,
            };
            if value.is_some() {
                self.advance()?;
            }
            list.push((name, value));
            if self.accept_mark(')')? {
                return Ok(list);
            }
            if !self.accept_mark(',')? {
                return Err(self.unexpected());
            }
        }
    }

    fn slot_name(&mut self) -> Result<SlotName, CommandError> {
        Ok(self.name()?.parse()?)
    }

    fn database_name(&mut self) -> Result<DatabaseName, CommandError> {
        let name: Result<DatabaseName, InvalidDatabaseName> = self.name()?.parse();
        Ok(name?)
    }

    fn timeline(&mut self) -> Result<TimelineId, CommandError> {
        let number = self.number()?;
        match u32::try_from(number) {
            Ok(id) if id != 0 => Ok(TimelineId(id)),
            _ => Err(CommandError::InvalidTimeline(number)),
        }
    }

    fn dotted_name(&mut self) -> Result<String, CommandError> {
        let mut name = self.name()?;
        while self.accept_mark('.')? {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    /// An identifier: in lower case unless it was quoted.
    fn name(&mut self) -> Result<String, CommandError> {
        let name = match &self.token.kind {
            TokenKind::Word(word) => word.to_ascii_lowercase(),
            TokenKind::Quoted(name) => name.clone(),
            _ => return Err(self.unexpected()),
        };
        self.advance()?;
        Ok(name)
    }

    fn text_constant(&mut self) -> Result<String, CommandError> {
        let TokenKind::Text(text) = self.token.kind.clone() else { return Err(self.unexpected()) };
        self.advance()?;
        Ok(text)
    }

    fn number(&mut self) -> Result<u64, CommandError> {
        let TokenKind::Number(number) = self.token.kind else { return Err(self.unexpected()) };
        self.advance()?;
        Ok(number)
    }

    fn lsn(&mut self) -> Result<Lsn, CommandError> {
        let TokenKind::Lsn(lsn) = self.token.kind else { return Err(self.unexpected()) };
        self.advance()?;
        Ok(lsn)
    }

    fn accept(&mut self, keyword: &str) -> Result<bool, CommandError> {
        let found = matches!(&self.token.kind, TokenKind::Word(word) if word == keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, keyword: &str) -> Result<(), CommandError> {
        if self.accept(keyword)? { Ok(()) } else { Err(self.unexpected()) }
    }

    fn accept_mark(&mut self, mark: char) -> Result<bool, CommandError> {
        let found = self.token.kind == TokenKind::Mark(mark);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn advance(&mut self) -> Result<(), CommandError> {
        self.token = self.lexer.next().map_err(|error| match error {
            LexError::Unterminated(at) => {
                CommandError::Unterminated { near: near(self.text, at), position: position(self.text, at) }
            }
            LexError::Unexpected(at) => syntax(self.text, at),
        })?;
        Ok(())
    }

    fn unexpected(&self) -> CommandError {
        match self.token.kind {
            TokenKind::End => CommandError::Incomplete { position: position(self.text, self.text.len()) },
            _ => syntax(self.text, self.token.offset),
        }
    }
}

fn syntax(text: &str, at: usize) -> CommandError {
    CommandError::Syntax { near: near(text, at), position: position(text, at) }
}

/// The word that starts at byte `at`.
fn near(text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or("");
    let first = rest.chars().next();
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')');
    let word = rest.split(ends).next().unwrap_or("");
    let word: String = word.chars().take(NEAR_CHARS_MAX).collect();
    if word.is_empty() { first.map(String::from).unwrap_or_default() } else { word }
}

fn position(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).chars().count() + 1
}
