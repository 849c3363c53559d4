"""asyncpg, pooled, against the port given as the only argument. Prints "ok" at the end."""

import asyncio
import sys

import asyncpg

VALUES = [
    (1, 42, 2.5, True, "plain", b"\x00\xff\x01"),
    (2, -(2**63), -1e300, False, "ümläut 日本", b""),
    (3, 2**63 - 1, 0.0, True, "", bytes(range(256))),
    (4, None, None, None, None, None),
]
TABLE = "CREATE TABLE asyncpg_values(id INTEGER PRIMARY KEY, i INTEGER, f REAL, b BOOLEAN, t TEXT, x BLOB)"


async def main():
    pool = await asyncpg.create_pool(
        host="127.0.0.1", port=int(sys.argv[1]), user="postgres", database="postgres", min_size=2, max_size=4, timeout=10
    )
    async with pool.acquire() as conn:
        await conn.execute(TABLE)
        for row in VALUES:
            status = await conn.execute("INSERT INTO asyncpg_values VALUES ($1, $2, $3, $4, $5, $6)", *row)
            assert status == "INSERT 0 1", status
    # the connection comes back from the pool after its reset
    async with pool.acquire() as conn:
        found = [tuple(row) for row in await conn.fetch("SELECT * FROM asyncpg_values ORDER BY id")]
        assert found == VALUES, found
        assert await conn.fetchval("SELECT count(*) FROM asyncpg_values") == 4
        statement = await conn.prepare("SELECT t FROM asyncpg_values WHERE i = $2 AND b = $1")
        assert await statement.fetchval(True, 42) == "plain"
        assert await statement.fetchval(False, 42) is None
        # a simple query (text) of the same rows
        await conn.execute("SELECT * FROM asyncpg_values; SELECT 1")

        try:
            async with conn.transaction():
                await conn.execute("INSERT INTO asyncpg_values(id) VALUES ($1)", 5)
                await conn.execute("INSERT INTO asyncpg_values(id) VALUES ($1)", 1)
            raise AssertionError("a duplicate key was taken")
        except asyncpg.UniqueViolationError:
            pass
        assert await conn.fetchval("SELECT count(*) FROM asyncpg_values WHERE id = 5") == 0
        try:
            await conn.fetch("SELECT * FROM no_such_table")
            raise AssertionError("a missing table was found")
        except asyncpg.UndefinedTableError:
            pass

        async with conn.transaction():
            await conn.execute("INSERT INTO asyncpg_values(id) VALUES (6)")
            try:
                async with conn.transaction():
                    await conn.execute("INSERT INTO asyncpg_values(id) VALUES (7)")
                    raise KeyError
            except KeyError:
                pass
        assert [r["id"] for r in await conn.fetch("SELECT id FROM asyncpg_values WHERE id IN (6, 7)")] == [6]

        await conn.executemany("INSERT INTO asyncpg_values(id, t) VALUES ($1, $2)", [(i, "m") for i in range(100, 200)])
        assert await conn.fetchval("SELECT count(*) FROM asyncpg_values WHERE t = 'm'") == 100
        await conn.execute("CREATE TEMP TABLE only_mine(x INTEGER)")

    # sixteen users of four connections: what one leaves behind does not reach the next
    async def use(n):
        async with pool.acquire() as conn:
            async with conn.transaction():
                await conn.execute("INSERT INTO asyncpg_values(id, i) VALUES ($1, $2)", 1000 + n, n)
                return await conn.fetchval("SELECT i FROM asyncpg_values WHERE id = $1", 1000 + n)

    assert await asyncio.gather(*(use(n) for n in range(16))) == list(range(16))
    async with pool.acquire() as conn:
        cursor_rows = []
        async with conn.transaction():
            async for row in conn.cursor("SELECT id FROM asyncpg_values ORDER BY id", prefetch=10):
                cursor_rows.append(row["id"])
        assert len(cursor_rows) == 4 + 1 + 100 + 16, len(cursor_rows)
    await pool.close()


asyncio.run(asyncio.wait_for(main(), 60))
print("ok")
