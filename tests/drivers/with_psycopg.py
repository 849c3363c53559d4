"""psycopg 3 against the port given as the only argument. Prints "ok" at the end."""

import sys

import psycopg
from psycopg import errors

CONNINFO = f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=postgres connect_timeout=10"
VALUES = [
    (1, 42, 2.5, True, "plain", b"\x00\xff\x01"),
    (2, -(2**63), -1e300, False, "ümläut 日本 'quoted' \\ back", b""),
    (3, 2**63 - 1, 0.0, True, "", bytes(range(256))),
    (4, None, None, None, None, None),
]
SELECT = "SELECT id, i, f, b, t, x FROM psycopg_values ORDER BY id"


def values_in_and_out(conn):
    with conn.cursor() as cur:
        cur.execute("CREATE TABLE psycopg_values(id INTEGER PRIMARY KEY, i INTEGER, f REAL, b BOOLEAN, t TEXT, x BLOB)")
        for row in VALUES:
            cur.execute("INSERT INTO psycopg_values VALUES (%s, %s, %s, %s, %s, %s)", row)
            assert cur.rowcount == 1, cur.rowcount
    conn.commit()
    for binary in (False, True):
        with conn.cursor(binary=binary) as cur:
            found = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cur.execute(SELECT)]
            assert found == VALUES, (binary, found)
            names = [column.name for column in cur.description]
            assert names == ["id", "i", "f", "b", "t", "x"], names
            # parameters in both formats, prepared on the server
            for row in VALUES[:3]:
                for placeholder in ("%b", "%t"):
                    query = f"SELECT t FROM psycopg_values WHERE i = {placeholder} AND f = {placeholder} AND b = {placeholder}"
                    got = cur.execute(query, row[1:4], prepare=True).fetchone()
                    assert got == (row[4],), (binary, placeholder, row, got)
    assert conn.execute("SELECT count(*) FROM psycopg_values").fetchone() == (4,)
    conn.commit()


def errors_and_rollback(conn):
    with conn.cursor() as cur:
        cur.execute("INSERT INTO psycopg_values(id, t) VALUES (%s, %s)", (5, "lost"))
        try:
            cur.execute("INSERT INTO psycopg_values(id) VALUES (%s)", (1,))
            raise AssertionError("a duplicate key was taken")
        except errors.UniqueViolation:
            pass
        try:
            cur.execute("SELECT 1")
            raise AssertionError("a failed transaction went on")
        except errors.InFailedSqlTransaction:
            pass
    conn.rollback()
    assert conn.execute("SELECT count(*) FROM psycopg_values WHERE id = 5").fetchone() == (0,)
    try:
        conn.execute("SELECT * FROM no_such_table")
        raise AssertionError("a missing table was found")
    except errors.UndefinedTable:
        conn.rollback()
    try:
        conn.execute("SELEKT 1")
        raise AssertionError("nonsense was understood")
    except errors.SyntaxError:
        conn.rollback()


def savepoints(conn):
    with conn.transaction():
        conn.execute("INSERT INTO psycopg_values(id, t) VALUES (6, 'kept')")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO psycopg_values(id, t) VALUES (7, 'lost')")
                raise psycopg.Rollback()
        except psycopg.Rollback:
            pass
    found = conn.execute("SELECT id FROM psycopg_values WHERE id IN (6, 7)").fetchall()
    assert found == [(6,)], found
    conn.commit()


def copy(conn):
    with conn.cursor() as cur:
        cur.execute("CREATE TABLE psycopg_copy(id INTEGER PRIMARY KEY, t TEXT)")
        with cur.copy("COPY psycopg_copy FROM STDIN") as out:
            for i in range(5000):
                out.write_row((i, None if i % 7 == 0 else f"row\t{i}\n\\"))
        conn.commit()
        assert cur.execute("SELECT count(*), count(t) FROM psycopg_copy").fetchone() == (5000, 4285)
        with cur.copy("COPY psycopg_copy TO STDOUT") as back:
            back.set_types(["int8", "text"])
            for i, row in enumerate(back.rows()):
                assert row == (i, None if i % 7 == 0 else f"row\t{i}\n\\"), row
    conn.commit()


def pipeline(conn):
    with conn.pipeline(), conn.cursor() as cur:
        for i in range(100, 150):
            cur.execute("INSERT INTO psycopg_values(id, i) VALUES (%s, %s)", (i, i))
        cur.execute("SELECT sum(i) FROM psycopg_values WHERE id >= 100")
        assert cur.fetchone() is not None
    conn.commit()


def many(conn):
    with conn.cursor() as cur:
        cur.executemany("INSERT INTO psycopg_values(id, t) VALUES (%s, %s)", [(i, "m") for i in range(1000, 1100)])
    conn.commit()
    assert conn.execute("SELECT count(*) FROM psycopg_values WHERE t = 'm'").fetchone() == (100,)
    conn.commit()


with psycopg.connect(CONNINFO) as connection:
    for step in (values_in_and_out, errors_and_rollback, savepoints, copy, pipeline, many):
        step(connection)
with psycopg.connect(CONNINFO, autocommit=True) as connection:
    assert connection.execute("SELECT count(*) FROM psycopg_copy").fetchone() == (5000,)
print("ok")
