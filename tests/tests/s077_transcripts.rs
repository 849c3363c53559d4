//! Replication commands are answered in the shape in which PostgreSQL 15 answers them:
//! the same messages in the same order, the same columns of the same types, the same
//! SQLSTATEs. fixtures/replication/answers.txt is recorded from a real PostgreSQL 15
//! (`UPDATE_GOLDEN=1` records it again), and both servers are held against it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use walship_tests::{Lab, Oracle, repository_root};

/// What the stock clients of version 15 send, and what is refused.
const COMMANDS: &[&str] = &[
    "SHOW data_directory_mode",
    "SHOW wal_segment_size",
    "SHOW no_such_setting",
    "IDENTIFY_SYSTEM",
    "CREATE_REPLICATION_SLOT \"kept\" PHYSICAL",
    "CREATE_REPLICATION_SLOT \"kept\" PHYSICAL",
    "CREATE_REPLICATION_SLOT \"Bad\" PHYSICAL",
    "READ_REPLICATION_SLOT kept",
    "READ_REPLICATION_SLOT missing",
    "CREATE_REPLICATION_SLOT \"temporary\" TEMPORARY PHYSICAL ( RESERVE_WAL)",
    "READ_REPLICATION_SLOT temporary",
    "START_REPLICATION SLOT \"temporary\" $START TIMELINE 1",
    "DROP_REPLICATION_SLOT \"kept\"",
    "DROP_REPLICATION_SLOT \"missing\"",
    "TIMELINE_HISTORY 9",
    "START_REPLICATION SLOT \"missing\" 0/1000000 TIMELINE 1",
    "START_REPLICATION FF/0 TIMELINE 1",
    "START_REPLICATION 0/1000000 TIMELINE 7",
    "BASE_BACKUP ( LABEL 'a ''label''',  PROGRESS,  CHECKPOINT 'fast',  WAIT 0,  MANIFEST 'yes',  TARGET 'client')",
    "BASE_BACKUP ( LABEL 'x',  CHECKPOINT 'fast',  WAIT 0,  WAL,  TABLESPACE_MAP,  MANIFEST 'no',  TARGET 'client')",
    "BASE_BACKUP ( NO_SUCH_OPTION)",
    "BASE_BACKUP ( TARGET 'nowhere')",
    "BASE_BACKUP ( MANIFEST 'yes',  MANIFEST_CHECKSUMS 'MD5')",
    "SELECT 1",
    "IDENTIFY_SYSTEM extra",
];

/// A connection as pg_receivewal makes it, seen message by message.
struct Wire {
    stream: TcpStream,
}

impl Wire {
    fn connect(port: u16) -> (Wire, Vec<String>) {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set a time-out");
        let mut wire = Wire { stream };
        let parameters =
            "user\0postgres\0database\0replication\0replication\0true\0application_name\0pg_receivewal\0\0";
        let mut packet = 196_608_i32.to_be_bytes().to_vec();
        packet.extend_from_slice(parameters.as_bytes());
        wire.send(None, &packet);
        let greeting = wire.until_ready(false);
        (wire, greeting)
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&u32::try_from(body.len() + 4).expect("messages are short").to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).expect("send");
    }

    fn message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).expect("a message");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole message");
        (head[0], body)
    }

    /// The shape of everything up to ReadyForQuery. A stream is ended after its first data.
    fn until_ready(&mut self, end_stream: bool) -> Vec<String> {
        let mut shape: Vec<String> = Vec::new();
        let mut ended = false;
        loop {
            let (kind, body) = self.message();
            let line = describe(kind, &body);
            let stream_data = kind == b'd' && end_stream;
            // progress is a matter of time, and pieces may be of any size
            if line != "d p" && shape.last() != Some(&line) {
                shape.push(line);
            }
            if stream_data && !ended {
                self.send(Some(b'c'), &[]);
                ended = true;
            }
            if kind == b'Z' {
                return shape;
            }
        }
    }

    fn command(&mut self, text: &str) -> Vec<String> {
        self.send(Some(b'Q'), &[text.as_bytes(), b"\0"].concat());
        self.until_ready(text.starts_with("START_REPLICATION SLOT \"temporary\""))
    }
}

/// A message without what is another on each server.
fn describe(kind: u8, body: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let detail = match kind {
        b'T' => columns(body),
        b'D' => nulls(body),
        b'C' => text(body),
        b'E' | b'N' => {
            text(body.split(|b| *b == 0).find(|field| field.first() == Some(&b'C')).unwrap_or(&[]))
        }
        b'S' => text(body.split(|b| *b == 0).next().unwrap_or(&[])),
        b'd' => char::from(*body.first().unwrap_or(&b'?')).to_string(),
        b'W' | b'H' | b'R' => body.iter().map(|b| format!("{b:02x}")).collect(),
        b'Z' => text(body),
        _ => String::new(),
    };
    format!("{} {detail}", char::from(kind)).trim_end().to_owned()
}

/// Name and type of each column, and its format.
fn columns(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == 0).expect("a name ends");
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let fixed = &rest[end + 1..end + 19];
        let oid = u32::from_be_bytes([fixed[6], fixed[7], fixed[8], fixed[9]]);
        let length = i16::from_be_bytes([fixed[10], fixed[11]]);
        columns.push(format!("{name}:{oid}:{length}"));
        rest = &rest[end + 19..];
    }
    columns.join(" ")
}

/// Which values of a row are NULL.
fn nulls(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        values.push(if length < 0 { "null" } else { "value" });
        rest = &after[usize::try_from(length).unwrap_or(0)..];
    }
    values.join(" ")
}

fn transcript(port: u16) -> String {
    let (mut wire, greeting) = Wire::connect(port);
    let mut all = format!("greeting\n    {}\n", greeting.join("\n    "));
    let mut start = String::new();
    for command in COMMANDS {
        let sent = command.replace("$START", &start);
        let shape = wire.command(&sent);
        all += &format!("{command}\n    {}\n", shape.join("\n    "));
        if *command == "IDENTIFY_SYSTEM" {
            // streams begin at a segment's start
            let session = walship_tests::Session::connect(port, "postgres").expect("connect");
            let position = session.value("SELECT pg_current_wal_flush_lsn()");
            let position: walship_types::Lsn = position.parse().expect("a position");
            start = walship_types::Lsn(position.0 & !((16 << 20) - 1)).to_string();
        }
    }
    all
}

/// The one difference that is meant: PostgreSQL describes the row of a history file before
/// it finds that there is none, which no client can make use of.
fn without_useless_description(text: &str) -> String {
    text.replace("TIMELINE_HISTORY 9\n    T filename:25:-1 content:25:-1\n", "TIMELINE_HISTORY 9\n")
}

fn assert_as_recorded(server: &str, found: &str) {
    let path = repository_root().join("fixtures/replication/answers.txt");
    let recorded = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (expected, found) = (without_useless_description(&recorded), without_useless_description(found));
    let differing: Vec<_> = expected
        .lines()
        .zip(found.lines())
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("- {a}\n+ {b}"))
        .collect();
    assert!(expected == found, "{server} differs from {}\n{}\n{found}", path.display(), differing.join("\n"));
}

#[test]
fn answers_have_the_shape_of_postgresqls() {
    let lab = Lab::new();
    let postgres = Oracle::start(lab.path(), &[]);
    let recorded = transcript(postgres.port());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let directory = repository_root().join("fixtures/replication");
        std::fs::create_dir_all(&directory).expect("create the directory of the fixture");
        std::fs::write(directory.join("answers.txt"), &recorded).expect("write the fixture");
    }
    assert_as_recorded("PostgreSQL", &recorded);
    drop(postgres);
    let leader = lab.leader();
    assert_as_recorded("walship", &transcript(leader.port()));
}
