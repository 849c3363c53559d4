//! SQL sessions over real sockets, on a host that is only SQLite.

mod plain_host;

use plain_host::{FAILS, Server};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

async fn connect(server: &Server) -> tokio_postgres::Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn state(error: &tokio_postgres::Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| error.to_string())
}

async fn rows(client: &tokio_postgres::Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap();
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

fn one(text: &str) -> Vec<Vec<Option<String>>> {
    vec![vec![Some(text.to_owned())]]
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_values_come_back_in_binary() {
    let server = Server::start().await;
    let client = connect(&server).await;
    client
        .batch_execute("create table t (i integer, f real, b boolean, s text, raw blob, n integer)")
        .await
        .unwrap();
    let none: Option<i64> = None;
    let changed = client
        .execute(
            "insert into t (f, i, b, s, raw, n) values ($2, $1, $3, $4, $5, $6)",
            &[&-7i64, &1.5f64, &true, &"é\n", &vec![0u8, 255], &none],
        )
        .await
        .unwrap();
    assert_eq!(changed, 1);
    let row =
        client.query_one("select i, f, b, s, raw, n, count(*) from t where i = $1", &[&-7i64]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), -7);
    assert_eq!(row.get::<_, f64>(1), 1.5);
    assert!(row.get::<_, bool>(2));
    assert_eq!(row.get::<_, &str>(3), "é\n");
    assert_eq!(row.get::<_, Vec<u8>>(4), [0, 255]);
    assert_eq!(row.get::<_, Option<i64>>(5), None);
    assert_eq!(row.get::<_, i64>(6), 1);
    client.batch_execute("insert into t (i) values ('no number')").await.unwrap();
    let error = client.query("select i from t", &[]).await.unwrap_err();
    assert_eq!(state(&error), "42804");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_says_so_until_it_ends() {
    let server = Server::start().await;
    let client = connect(&server).await;
    client.batch_execute("create table t (a integer primary key)").await.unwrap();
    client.batch_execute("begin; insert into t values (1)").await.unwrap();
    let error = client.batch_execute("insert into t values (1)").await.unwrap_err();
    assert_eq!(state(&error), "23505");
    let error = client.batch_execute("select 1").await.unwrap_err();
    assert_eq!(state(&error), "25P02");
    client.batch_execute("commit").await.unwrap();
    assert_eq!(rows(&client, "select count(*) from t").await, one("0"));

    client.batch_execute("begin; insert into t values (1); savepoint s").await.unwrap();
    client.batch_execute("insert into t values (1)").await.unwrap_err();
    client.batch_execute("rollback to s; insert into t values (2); commit").await.unwrap();
    assert_eq!(rows(&client, "select count(*) from t").await, one("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_in_one_string_are_one_transaction() {
    let server = Server::start().await;
    let client = connect(&server).await;
    client.batch_execute("create table t (a integer primary key)").await.unwrap();
    client.batch_execute("insert into t values (1); insert into t values (1)").await.unwrap_err();
    assert_eq!(rows(&client, "select count(*) from t").await, one("0"));
    client.batch_execute("insert into t values (1); insert into t values (2)").await.unwrap();
    assert_eq!(rows(&client, "select count(*) from t").await, one("2"));
    let error = client.batch_execute("begin read only; insert into t values (3)").await.unwrap_err();
    assert_eq!(state(&error), "25006");
    client.batch_execute("rollback").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_count_characters_of_the_clients_text() {
    let server = Server::start().await;
    let client = connect(&server).await;
    let error = client.batch_execute("select 'é'; select '1'::int, nope").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.message(), "column \"nope\" does not exist");
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_cancelled_and_time_out() {
    let server = Server::start().await;
    let client = connect(&server).await;
    let endless = "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c";
    client.batch_execute("set statement_timeout = '20ms'").await.unwrap();
    let error = client.batch_execute(endless).await.unwrap_err();
    assert_eq!(state(&error), "57014");
    assert!(error.to_string().contains("statement timeout") || error.as_db_error().is_some());
    client.batch_execute("set statement_timeout = 0").await.unwrap();
    let token = client.cancel_token();
    let cancelled = tokio::spawn(async move {
        // a request that comes before the statement has no effect, so it is repeated
        loop {
            token.cancel_query(NoTls).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let error = client.batch_execute(endless).await.unwrap_err();
    cancelled.abort();
    assert_eq!(state(&error), "57014");
    assert_eq!(rows(&client, "select 1").await, one("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_waits_for_the_turn_and_an_idle_one_loses_it() {
    let server = Server::start().await;
    let (first, second) = (connect(&server).await, connect(&server).await);
    first.batch_execute("create table t (a)").await.unwrap();
    first.batch_execute("begin; insert into t values (1)").await.unwrap();
    second.batch_execute("set lock_timeout = '10ms'").await.unwrap();
    let error = second.batch_execute("insert into t values (2)").await.unwrap_err();
    assert_eq!(state(&error), "55P03");
    first.batch_execute("set idle_in_write_transaction_timeout = '20ms'").await.unwrap();
    second.batch_execute("set lock_timeout = 0").await.unwrap();
    second.batch_execute("insert into t values (2)").await.unwrap();
    assert_eq!(rows(&second, "select a from t").await, one("2"));
    assert!(first.batch_execute("commit").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlite_keeps_per_connection_is_the_sessions() {
    let server = Server::start().await;
    let (first, second) = (connect(&server).await, connect(&server).await);
    first.batch_execute("create table t (a integer primary key); insert into t values (41)").await.unwrap();
    first.batch_execute("create temp table own (a); pragma foreign_keys = off").await.unwrap();
    assert_eq!(rows(&first, "select last_insert_rowid()").await, one("41"));
    assert_eq!(rows(&second, "select last_insert_rowid()").await, one("0"));
    second.batch_execute("select * from own").await.unwrap_err();
    first.batch_execute("discard all").await.unwrap();
    first.batch_execute("select * from own").await.unwrap_err();
    assert_eq!(rows(&first, "pragma foreign_keys").await, one("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_goes_in_and_out() {
    use futures_util::{SinkExt, StreamExt, pin_mut};
    let server = Server::start().await;
    let client = connect(&server).await;
    client.batch_execute("create table t (a integer, b text)").await.unwrap();
    let sink = client.copy_in("copy t from stdin with (freeze on)").await.unwrap();
    pin_mut!(sink);
    for block in ["1\ton", "e\n2\t\\N\n", "3\ta\\tb\n"] {
        sink.send(bytes::Bytes::from(block)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 3);
    let stream = client.copy_out("copy (select * from t order by a) to stdout csv header").await.unwrap();
    pin_mut!(stream);
    let mut out = Vec::new();
    while let Some(block) = stream.next().await {
        out.extend_from_slice(&block.unwrap());
    }
    assert_eq!(String::from_utf8(out).unwrap(), "a,b\n1,one\n2,\n3,a\tb\n");
    let sink = client.copy_in::<_, bytes::Bytes>("copy t from stdin").await.unwrap();
    pin_mut!(sink);
    sink.send(bytes::Bytes::from("4\tx\nfive\ty\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22P02");
    assert_eq!(error.where_(), Some("COPY t, line 2, column a: \"five\""));
    assert_eq!(rows(&client, "select count(*) from t").await, one("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_stop_at_their_row_limit() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    client.batch_execute("create table t (a integer)").await.unwrap();
    client.batch_execute("insert into t values (1), (2), (3)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select a from t order by a", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 2);
    let rest = transaction.query_portal(&portal, 2).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_gets_an_error_and_nobody_else_notices() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Server::start().await;
    let client = connect(&server).await;
    for garbage in [
        b"\xff\xff\xff\xff".as_slice(),
        b"\0\0\0\x08\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x0f\0\x03\0\0user\0x\0",
    ] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&b'E'), "{garbage:?}");
    }
    assert_eq!(rows(&client, "select 1").await, one("1"));
}

fn run(server: &Server, program: &str, arguments: &[&str]) -> (String, String) {
    let output = std::process::Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", "postgres"])
        .args(arguments)
        .env("PGDATABASE", "postgres")
        .output()
        .unwrap_or_else(|error| panic!("{program}, from PostgreSQL's client package, is needed: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_and_pgbench_work() {
    let server = Server::start().await;
    let psql = |sql: &str| run(&server, "psql", &["-X", "-c", sql]);
    psql("create table t (a integer primary key, b text); insert into t values (1, 'x'), (2, null)");
    let (out, _) = psql("select * from t");
    assert_eq!(out, " a | b \n---+---\n 1 | x\n 2 | \n(2 rows)\n\n");
    let (_, error) = psql("select nope from t");
    assert_eq!(
        error,
        "ERROR:  column \"nope\" does not exist\nLINE 1: select nope from t\n               ^\n"
    );
    let (out, _) = psql("\\copy t to stdout csv");
    assert_eq!(out, "1,x\n2,\n");

    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        script.path(),
        "\\set d random(-5000, 5000)\nBEGIN;\nUPDATE t SET a = a WHERE a = 1 + :d * 0;\nSELECT b FROM t WHERE a = 1;\n\
         INSERT INTO t (b) VALUES (:d);\nEND;\n",
    )
    .unwrap();
    let path = script.path().to_str().unwrap();
    for mode in ["simple", "extended", "prepared"] {
        let (out, error) = run(&server, "pgbench", &["-n", "-f", path, "-M", mode, "-c", "4", "-t", "20"]);
        assert!(out.contains("number of transactions actually processed: 80/80"), "{mode}: {out}{error}");
    }
    let (out, _) = psql("select count(*) from t");
    assert!(out.contains("242"), "{out}");
}

/// Statements whose whole error is kept in a file: one that changes its words changes them there.
const REFUSED: &[&str] = &[
    "select * from nope",
    "select nope from t",
    "selec 1",
    "select (1",
    "select 'é', nope()",
    "create table t (a)",
    "insert into t (z) values (1)",
    "insert into t values (1, 'y', 1)",
    "insert into t values (2, 'x', 1)",
    "insert into t values (2, null, 1)",
    "insert into t values (2, 'y', 0)",
    "insert into u values (9)",
    "insert into t (a) values ('x')",
    "select json('{')",
    "select abs(-9223372036854775807 - 1)",
    "select $1",
    "begin; insert into t values (1, 'x', 1); select 1",
    "select 1",
    "rollback",
    "rollback to s",
    "release s",
    "vacuum; select 1",
    "begin read only; delete from t",
    "rollback",
    "set nope = 1",
    "set statement_timeout = 'soon'",
    "show nope",
    "attach 'x' as y",
    "vacuum into 'x'",
    "pragma journal_mode = delete",
    "pragma wal_checkpoint",
    "pragma writable_schema = on",
    "pragma nope",
    "select load_extension('x')",
    "prepare transaction 'x'",
    "declare c cursor for select 1",
    "listen x",
    "copy t from '/etc/passwd'",
    "copy t from stdin (format binary)",
    "copy t (nope) to stdout",
    "deallocate nope",
    "drop database postgres",
    "wait for lsn 'x'",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_its_words() {
    let server = Server::start().await;
    let client = connect(&server).await;
    client
        .batch_execute(
            "create table t (a integer primary key, b text unique not null, c integer check (c > 0));
             create table u (t integer references t); insert into t values (1, 'x', 1)",
        )
        .await
        .unwrap();
    let mut found = String::new();
    for sql in REFUSED {
        found.push_str(sql);
        found.push('\n');
        if let Err(error) = client.batch_execute(sql).await {
            found.push_str(&words(&error));
        }
        found.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sql_errors.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, kept, "run with UPDATE_GOLDEN=1 if the change is meant");
}

fn words(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else { return format!("    {error}\n") };
    let mut words = format!("    {}: {}: {}\n", error.severity(), error.code().code(), error.message());
    let position = match error.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => Some(position.to_string()),
        _ => None,
    };
    let more = [
        ("detail", error.detail()),
        ("hint", error.hint()),
        ("position", position.as_deref()),
        ("context", error.where_()),
        ("table", error.table()),
        ("column", error.column()),
        ("constraint", error.constraint()),
    ];
    for (name, text) in more {
        if let Some(text) = text {
            words.push_str(&format!("    {name}: {text}\n"));
        }
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_ends_its_own_session_with_an_error() {
    let server = Server::start().await;
    let (client, other) = (connect(&server).await, connect(&server).await);
    client.batch_execute("create table t (a)").await.unwrap();
    let error = client.batch_execute(&format!("drop database {FAILS}")).await.unwrap_err();
    assert_eq!(state(&error), "XX000");
    assert!(client.batch_execute("select 1").await.is_err(), "the session has ended");
    // the turn that it might have held is free, and nobody else has noticed
    other.batch_execute("insert into t values (1)").await.unwrap();
    assert_eq!(rows(&other, "select count(*) from t").await, one("1"));
}
