//! The grammar of replication commands, held against what PostgreSQL's tools send.

use proptest::prelude::*;
use walship_protocol::{
    BaseBackupOptions, CheckpointMode, Command, CommandError, CompressionChoice, Lsn, ManifestChecksum,
    ManifestMode, OptionError, SlotKind,
};

fn parse(text: &str) -> Command {
    Command::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_spelling_of_a_new_slot() {
    for (text, temporary, physical, reserve) in [
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL", false, true, false),
        ("CREATE_REPLICATION_SLOT \"s1\" PHYSICAL", false, true, false),
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL RESERVE_WAL", false, true, true),
        ("CREATE_REPLICATION_SLOT s1 TEMPORARY PHYSICAL", true, true, false),
        ("CREATE_REPLICATION_SLOT s1 TEMPORARY PHYSICAL RESERVE_WAL", true, true, true),
        ("CREATE_REPLICATION_SLOT \"s1\" TEMPORARY PHYSICAL ( RESERVE_WAL)", true, true, true),
        ("CREATE_REPLICATION_SLOT \"s1\" PHYSICAL ( RESERVE_WAL)", false, true, true),
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL (RESERVE_WAL true)", false, true, true),
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL (RESERVE_WAL 'on')", false, true, true),
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL (RESERVE_WAL 0)", false, true, false),
        ("CREATE_REPLICATION_SLOT s1 PHYSICAL (reserve_wal false);", false, true, false),
        ("CREATE_REPLICATION_SLOT s1 LOGICAL test_decoding", false, false, false),
        ("CREATE_REPLICATION_SLOT s1 LOGICAL pgoutput NOEXPORT_SNAPSHOT", false, false, false),
        ("CREATE_REPLICATION_SLOT s1 TEMPORARY LOGICAL pgoutput USE_SNAPSHOT TWO_PHASE", true, false, false),
        ("CREATE_REPLICATION_SLOT s1 LOGICAL pgoutput (SNAPSHOT 'nothing', TWO_PHASE)", false, false, false),
    ] {
        let Command::CreateReplicationSlot { slot, temporary: found, kind, reserve_wal } = parse(text) else {
            panic!("{text}")
        };
        assert_eq!(slot.as_str(), "s1", "{text}");
        assert_eq!(
            (found, kind == SlotKind::Physical, reserve_wal),
            (temporary, physical, reserve),
            "{text}"
        );
    }
}

#[test]
fn what_the_backup_tool_sends() {
    let backup = |text| match parse(text) {
        Command::BaseBackup(options) => options,
        other => panic!("{other:?}"),
    };
    let stream = backup(
        "BASE_BACKUP ( LABEL 'pg_basebackup base backup',  PROGRESS,  CHECKPOINT 'fast',  WAIT 0,  MANIFEST 'yes',  TARGET 'client')",
    );
    let expected = BaseBackupOptions {
        label: "pg_basebackup base backup".to_owned(),
        progress: true,
        checkpoint: CheckpointMode::Fast,
        wait: false,
        manifest: ManifestMode::Yes,
        ..BaseBackupOptions::default()
    };
    assert_eq!(stream, expected);
    let fetch = backup(
        "BASE_BACKUP ( LABEL 'it''s',  PROGRESS,  WAL,  CHECKPOINT 'fast',  WAIT 0,  TABLESPACE_MAP,  MANIFEST 'force-encode',  MANIFEST_CHECKSUMS 'SHA256',  TARGET 'client')",
    );
    assert_eq!((fetch.label.as_str(), fetch.wal, fetch.tablespace_map), ("it's", true, true));
    assert_eq!(fetch.manifest_checksums, ManifestChecksum::Sha256);
    assert_eq!(fetch.manifest, ManifestMode::ForceEncode);
    let compressed = backup(
        "BASE_BACKUP ( LABEL 'x',  MAX_RATE 51200,  VERIFY_CHECKSUMS 0,  MANIFEST 'yes',  TARGET 'client',  COMPRESSION 'gzip',  COMPRESSION_DETAIL '5')",
    );
    let gzip = CompressionChoice::Server { method: "gzip".into(), detail: Some("5".into()) };
    assert_eq!(
        (compressed.max_rate_kib, compressed.verify_checksums, compressed.compression),
        (Some(51200), false, gzip)
    );
    let old = backup(
        "BASE_BACKUP LABEL 'x' PROGRESS FAST NOWAIT WAL MAX_RATE 32 TABLESPACE_MAP NOVERIFY_CHECKSUMS MANIFEST 'no'",
    );
    assert_eq!(
        (old.checkpoint, old.wait, old.wal, old.verify_checksums),
        (CheckpointMode::Fast, false, true, false)
    );
    assert_eq!(backup("BASE_BACKUP"), BaseBackupOptions::default());
}

#[test]
fn wrong_options_are_named() {
    let option = |text: &str| match Command::parse(text) {
        Err(CommandError::Option(error)) => error,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(option("BASE_BACKUP (FOO 1)"), OptionError::Unknown("foo".into()));
    assert_eq!(option("BASE_BACKUP (WAL, WAL)"), OptionError::Duplicate("wal".into()));
    assert_eq!(option("BASE_BACKUP (LABEL)"), OptionError::NoValue("label".into()));
    assert_eq!(option("BASE_BACKUP (WAL 'maybe')"), OptionError::NotBoolean("wal".into()));
    assert!(matches!(option("BASE_BACKUP (MAX_RATE 31)"), OptionError::Range { found: 31, .. }));
    assert!(matches!(option("BASE_BACKUP (MAX_RATE 'x')"), OptionError::NotInteger { .. }));
    assert!(matches!(option("BASE_BACKUP (COMPRESSION 'rar')"), OptionError::Value { .. }));
    assert_eq!(option("BASE_BACKUP (MANIFEST_CHECKSUMS 'NONE')"), OptionError::ChecksumsWithoutManifest);
    assert_eq!(option("BASE_BACKUP (TARGET 'blackhole')").sqlstate(), "0A000");
    assert_eq!(option("BASE_BACKUP (COMPRESSION_DETAIL '5')"), OptionError::DetailWithoutCompression);
}

#[test]
fn streaming_and_the_rest() {
    let start = parse("START_REPLICATION SLOT \"casc\" 0/10000000 TIMELINE 2");
    assert_eq!(start.to_string(), "START_REPLICATION SLOT \"casc\" 0/10000000 TIMELINE 2");
    let Command::StartReplication { slot: None, start, timeline: None } =
        parse("START_REPLICATION PHYSICAL A/B")
    else {
        panic!()
    };
    assert_eq!(start, Lsn(0xA_0000_000B));
    assert!(matches!(
        parse("START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1')"),
        Command::StartLogicalReplication { .. }
    ));
    assert_eq!(parse("SHOW data_directory_mode").to_string(), "SHOW data_directory_mode");
    assert_eq!(parse("SHOW a.b").to_string(), "SHOW a.b");
    assert!(matches!(
        parse("DROP_REPLICATION_SLOT \"s\" WAIT ; "),
        Command::DropReplicationSlot { wait: true, .. }
    ));
    assert!(matches!(parse("READ_REPLICATION_SLOT casc"), Command::ReadReplicationSlot { .. }));
    assert_eq!(parse("TIMELINE_HISTORY 31").to_string(), "TIMELINE_HISTORY 31");
    assert_eq!(parse("WALSHIP_EXPORT_DATABASE \"a-b\"").to_string(), "WALSHIP_EXPORT_DATABASE \"a-b\"");
}

#[test]
fn keywords_are_upper_case_and_everything_else_is_sql() {
    for text in ["identify_system", "select 1", "", "'x", ";", "Identify_system", "%"] {
        assert_eq!(Command::parse(text), Err(CommandError::NotReplication), "{text}");
    }
}

#[test]
fn mistakes_are_located() {
    let cases = [
        ("IDENTIFY_SYSTEM x", "syntax error at or near \"x\"", Some(17), "42601"),
        ("START_REPLICATION", "syntax error at end of input", Some(18), "42601"),
        ("CREATE_REPLICATION_SLOT s", "syntax error at end of input", Some(26), "42601"),
        ("CREATE_REPLICATION_SLOT s physical", "syntax error at or near \"physical\"", Some(27), "42601"),
        ("BASE_BACKUP (LABEL 'é", "unterminated quoted string at or near \"'é\"", Some(20), "42601"),
        ("TIMELINE_HISTORY 0", "invalid timeline 0", None, "42601"),
        ("TIMELINE_HISTORY 4294967296", "invalid timeline 4294967296", None, "42601"),
        (
            "DROP_REPLICATION_SLOT \"A\"",
            "replication slot name \"A\" contains invalid character",
            None,
            "42602",
        ),
    ];
    for (text, message, position, sqlstate) in cases {
        let error = Command::parse(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
        assert_eq!((error.position(), error.sqlstate()), (position, sqlstate), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(
        label in "[^\0]{0,40}", progress: bool, wal: bool, wait: bool, rate in proptest::option::of(32u32..1_048_577),
    ) {
        let options = BaseBackupOptions { label, progress, wal, wait, max_rate_kib: rate, ..BaseBackupOptions::default() };
        let command = Command::BaseBackup(options);
        prop_assert_eq!(Command::parse(&command.to_string()), Ok(command));
    }

    #[test]
    fn no_text_panics(text in "(IDENTIFY_SYSTEM|BASE_BACKUP|START_REPLICATION|CREATE_REPLICATION_SLOT)?.*") {
        let _ = Command::parse(&text);
    }
}
