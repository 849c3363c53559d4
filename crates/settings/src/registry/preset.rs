use crate::Unit::{Blocks, Bytes};
use crate::definition::{Category, Context, Definition};

const PRESET: Category = Category("Preset Options");

pub(super) const SETTINGS: &[Definition] = &[
    PRESET
        .text("server_version", "15.18")
        .at(Context::Internal)
        .about("the version of PostgreSQL whose protocol is spoken"),
    PRESET
        .int("server_version_num", "150018", 150_018, 150_018)
        .at(Context::Internal)
        .about("the version of PostgreSQL whose protocol is spoken, as a number"),
    PRESET
        .text("server_encoding", "UTF8")
        .at(Context::Internal)
        .about("the encoding of text in the databases"),
    PRESET
        .text("lc_collate", "C")
        .at(Context::Internal)
        .about("the order of text: byte by byte unless a column says otherwise"),
    PRESET.text("lc_ctype", "C").at(Context::Internal).about("which characters are letters: those of ASCII"),
    PRESET
        .bool("integer_datetimes", "on")
        .at(Context::Internal)
        .about("whether times are whole numbers on the wire"),
    PRESET.bool("in_hot_standby", "off").at(Context::Internal).about("whether this node is a follower"),
    PRESET
        .bool("is_superuser", "on")
        .at(Context::Internal)
        .about("whether the session's user is a superuser"),
    PRESET.text("session_authorization", "postgres").at(Context::Internal).about("the session's user"),
    PRESET.one_of("role", "none", &["none"]).about("accepted as none: a session keeps its user"),
    PRESET
        .mode("data_directory_mode", "0700")
        .at(Context::Internal)
        .about("the permissions of the data directory"),
    PRESET
        .bool("data_checksums", "on")
        .at(Context::Internal)
        .about("whether pages are checked against their hashes: always"),
    PRESET
        .one_of("wal_compression", "lz4", &["lz4"])
        .at(Context::Internal)
        .about("full images of pages are compressed in the log where that makes them shorter"),
    PRESET
        .int("wal_segment_size", "16MB", 1 << 20, 1 << 30)
        .unit(Bytes)
        .at(Context::Internal)
        .about("the size of a log segment, fixed when the cluster is created"),
    PRESET
        .int("wal_format_version", "1", 1, 1000)
        .at(Context::Internal)
        .about("the version of the log's format: nodes of one cluster must have the same"),
    PRESET
        .int("wal_block_size", "8192", 8192, 8192)
        .at(Context::Internal)
        .about("the block size that tools compute with"),
    PRESET
        .int("block_size", "8192", 8192, 8192)
        .at(Context::Internal)
        .about("the block size that tools compute with"),
    PRESET
        .int("segment_size", "1GB", 131_072, 131_072)
        .unit(Blocks)
        .at(Context::Internal)
        .about("kept for tools; a database is one file"),
    PRESET
        .int("max_identifier_length", "63", 63, 63)
        .at(Context::Internal)
        .about("the longest name of a database, user or slot, in bytes"),
    PRESET
        .int("max_index_keys", "2000", 2000, 2000)
        .at(Context::Internal)
        .about("the most columns of an index"),
    PRESET
        .int("max_function_args", "127", 127, 127)
        .at(Context::Internal)
        .about("the most arguments of a function"),
];
