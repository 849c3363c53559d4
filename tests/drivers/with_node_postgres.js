// node-postgres, with a pool, against the port given as the only argument. Prints "ok" at the end.
"use strict";
const assert = require("node:assert/strict");
const { Pool } = require("pg");

const VALUES = [
  [1, "42", 2.5, true, "plain", Buffer.from([0, 255, 1])],
  [2, "-9223372036854775808", -1e300, false, "ümläut 日本", Buffer.alloc(0)],
  [3, "9223372036854775807", 0, true, "", Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
  [4, null, null, null, null, null],
];
const SELECT = "SELECT i, f, b, t, x FROM node_values ORDER BY id";

async function main() {
  const port = Number(process.argv[2]);
  const config = { host: "127.0.0.1", port, user: "postgres", database: "postgres", connectionTimeoutMillis: 10000 };
  const pool = new Pool({ ...config, max: 4 });
  await pool.query("CREATE TABLE node_values(id INTEGER PRIMARY KEY, i INTEGER, f REAL, b BOOLEAN, t TEXT, x BLOB)");
  for (const row of VALUES) {
    const done = await pool.query("INSERT INTO node_values VALUES ($1, $2, $3, $4, $5, $6)", row);
    assert.equal(done.rowCount, 1);
  }
  const expected = VALUES.map((row) => row.slice(1));
  // text, the driver's default: int8 comes as a string
  assert.deepEqual((await pool.query({ text: SELECT, rowMode: "array" })).rows, expected);
  // binary, of a named prepared statement; the driver reads even binary values as UTF-8
  // first, so that only the values of the first row survive it
  const text = "SELECT i, f, b, t FROM node_values WHERE id = $1";
  for (let again = 0; again < 2; again++) {
    const binary = await pool.query({ name: "first", text, values: [1], binary: true });
    const row = binary.rows[0];
    assert.deepEqual([String(row.i), row.f, row.b, row.t], VALUES[0].slice(1, 5));
  }
  const count = await pool.query("SELECT count(*) AS n FROM node_values");
  assert.equal(count.rows[0].n, "4");
  const swapped = await pool.query("SELECT t FROM node_values WHERE i = $2 AND b = $1", [true, 42]);
  assert.deepEqual(swapped.rows, [{ t: "plain" }]);

  const client = await pool.connect();
  await client.query("BEGIN");
  await client.query("INSERT INTO node_values(id) VALUES ($1)", [5]);
  await assert.rejects(client.query("INSERT INTO node_values(id) VALUES ($1)", [1]), { code: "23505" });
  await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
  await client.query("ROLLBACK");
  assert.equal((await client.query("SELECT count(*) AS n FROM node_values WHERE id = 5")).rows[0].n, "0");
  await assert.rejects(client.query("SELECT * FROM no_such_table"), { code: "42P01" });
  client.release();

  const all = await Promise.all(
    Array.from({ length: 16 }, (_, n) =>
      pool.query("INSERT INTO node_values(id, i) VALUES ($1, $2) RETURNING i", [1000 + n, n])),
  );
  assert.deepEqual(all.map((result) => result.rows[0].i), Array.from({ length: 16 }, (_, n) => String(n)));
  await pool.end();
}

main().then(
  () => console.log("ok"),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
