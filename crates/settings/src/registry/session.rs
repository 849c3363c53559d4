use crate::Unit::Milliseconds;
use crate::definition::{Category, Context, Definition, TextRule};

const STATEMENT: Category = Category("Client Connection Defaults / Statement Behavior");
const LOCALE: Category = Category("Client Connection Defaults / Locale and Formatting");
const COMPATIBILITY: Category = Category("Version and Platform Compatibility / Previous PostgreSQL Versions");

const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const CLIENT_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

pub(super) const SETTINGS: &[Definition] = &[
    STATEMENT
        .one_of("client_min_messages", "notice", CLIENT_LEVELS)
        .about("the least important messages that are sent to the client"),
    STATEMENT
        .int("statement_timeout", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a statement may run; 0 disables"),
    STATEMENT
        .int("lock_timeout", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a statement may wait for its turn to write; 0 disables"),
    STATEMENT
        .int("idle_in_transaction_session_timeout", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a session may idle inside a transaction; 0 disables"),
    STATEMENT
        .int("idle_in_write_transaction_timeout", "1min", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a session may idle inside a transaction that has written; 0 disables"),
    STATEMENT
        .int("idle_session_timeout", "0", 0, 2_147_483_647)
        .unit(Milliseconds)
        .about("the longest that a session may idle outside a transaction; 0 disables"),
    STATEMENT
        .one_of("default_transaction_isolation", "serializable", ISOLATION)
        .about("the isolation asked for by default; whichever it is, transactions are serializable"),
    STATEMENT
        .one_of("transaction_isolation", "serializable", ISOLATION)
        .about("the isolation asked for; whichever it is, the transaction is serializable"),
    STATEMENT.bool("default_transaction_read_only", "off").about("whether new transactions refuse to write"),
    STATEMENT.bool("transaction_read_only", "off").about("whether this transaction refuses to write"),
    STATEMENT
        .bool("default_transaction_deferrable", "off")
        .about("accepted; a serializable transaction that only reads never waits here"),
    STATEMENT
        .bool("transaction_deferrable", "off")
        .about("accepted; a serializable transaction that only reads never waits here"),
    STATEMENT
        .text("search_path", "\"$user\", public")
        .about("accepted; there is one schema in each database"),
    STATEMENT.one_of("bytea_output", "hex", &["hex"]).about("how bytes are printed"),
    STATEMENT.bool("row_security", "on").about("accepted; there are no row policies"),
    STATEMENT
        .one_of("session_replication_role", "origin", &["origin"])
        .at(Context::Superuser)
        .about("accepted; triggers always fire"),
    LOCALE
        .text("client_encoding", "UTF8")
        .rule(TextRule::Encoding)
        .about("the encoding of text on the wire; nothing is converted"),
    LOCALE.text("DateStyle", "ISO, MDY").rule(TextRule::DateStyle).about("how times are printed"),
    LOCALE.one_of("IntervalStyle", "postgres", &["postgres"]).about("how intervals are printed"),
    LOCALE
        .text("TimeZone", "UTC")
        .rule(TextRule::TimeZone)
        .about("accepted; times are printed in UTC, with their offset"),
    LOCALE
        .int("extra_float_digits", "1", -15, 3)
        .about("accepted; numbers are always printed so that they read back as the same"),
    LOCALE.text("lc_messages", "C").at(Context::Superuser).about("the language of messages: always C"),
    LOCALE.text("lc_monetary", "C").about("accepted; there is no type for money"),
    LOCALE.text("lc_numeric", "C").about("accepted; numbers are always printed with a point"),
    LOCALE.text("lc_time", "C").about("accepted; times are always printed as ISO 8601 has them"),
    COMPATIBILITY
        .one_of("standard_conforming_strings", "on", &["on"])
        .about("whether a backslash in a string is an ordinary character: always"),
    COMPATIBILITY
        .bool("escape_string_warning", "on")
        .about("accepted; no warnings about backslashes are given"),
    COMPATIBILITY
        .one_of("backslash_quote", "safe_encoding", &["safe_encoding", "on", "off"])
        .about("accepted; a backslash never escapes a quote"),
    COMPATIBILITY.bool("array_nulls", "on").about("accepted; there are no arrays"),
    COMPATIBILITY.bool("quote_all_identifiers", "off").about("accepted; statements are never printed back"),
    COMPATIBILITY.bool("synchronize_seqscans", "on").about("accepted; scans are never synchronized"),
];
