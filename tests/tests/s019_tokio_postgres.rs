//! tokio-postgres: binary values both ways, prepared statements, transactions, COPY.

use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use walship_tests::{Lab, Node, assert_identical};

type Row = (i64, Option<i64>, Option<f64>, Option<bool>, Option<String>, Option<Vec<u8>>);

fn values() -> Vec<Row> {
    vec![
        (1, Some(42), Some(2.5), Some(true), Some("plain".into()), Some(vec![0, 255, 1])),
        (2, Some(i64::MIN), Some(-1e300), Some(false), Some("ümläut 日本".into()), Some(vec![])),
        (3, Some(i64::MAX), Some(0.0), Some(true), Some(String::new()), Some((0..=255).collect())),
        (4, None, None, None, None, None),
    ]
}

async fn connect(node: &Node) -> tokio_postgres::Client {
    let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", node.port());
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn values_in_and_out() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let client = connect(&leader).await;
    client
        .batch_execute("CREATE TABLE v(id INTEGER PRIMARY KEY, i INTEGER, f REAL, b BOOLEAN, t TEXT, x BLOB)")
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6)").await.unwrap();
    for (id, i, f, b, t, x) in values() {
        assert_eq!(client.execute(&insert, &[&id, &i, &f, &b, &t, &x]).await.unwrap(), 1);
    }
    let rows = client.query("SELECT * FROM v ORDER BY id", &[]).await.unwrap();
    let found: Vec<Row> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4), r.get(5))).collect();
    assert_eq!(found, values());
    let count: i64 = client.query_one("SELECT count(*) FROM v", &[]).await.unwrap().get(0);
    assert_eq!(count, 4);
    let swapped =
        client.query_one("SELECT t FROM v WHERE i = $2 AND b = $1", &[&true, &42_i64]).await.unwrap();
    assert_eq!(swapped.get::<_, String>(0), "plain");
    let cast: i64 = client.query_one("SELECT CAST($1 AS INTEGER) + 1", &[&41_i64]).await.unwrap().get(0);
    assert_eq!(cast, 42);
    // a thread of its own, because the comparison waits in a runtime of its own
    std::thread::scope(|scope| {
        scope.spawn(|| assert_identical(&leader, &follower, "postgres")).join().unwrap();
    });
}

#[tokio::test]
async fn an_error_in_a_transaction_and_the_rollback() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut client = connect(&leader).await;
    client.batch_execute("CREATE TABLE t(id INTEGER PRIMARY KEY)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES ($1)", &[&1_i64]).await.unwrap();
    let error = transaction.execute("INSERT INTO t VALUES ($1)", &[&1_i64]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    let error = transaction.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    let mut transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    let savepoint = transaction.savepoint("s").await.unwrap();
    savepoint.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap();
    savepoint.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    let sum: i64 = client.query_one("SELECT CAST(sum(id) AS INTEGER) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(sum, 1);
}

#[tokio::test]
async fn statements_in_flight_together() {
    let lab = Lab::new();
    let leader = lab.leader();
    let client = connect(&leader).await;
    client.batch_execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let (a, b, c) = tokio::join!(
        client.execute(&insert, &[&1_i64, &10_i64]),
        client.execute(&insert, &[&1_i64, &20_i64]),
        client.execute(&insert, &[&3_i64, &30_i64]),
    );
    assert!(a.is_ok() && c.is_ok());
    assert_eq!(b.unwrap_err().code(), Some(&SqlState::UNIQUE_VIOLATION));
    let sum: i64 = client.query_one("SELECT CAST(sum(v) AS INTEGER) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(sum, 40);
}
