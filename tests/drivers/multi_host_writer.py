"""Writes rows all along through libpq, reconnecting by itself, and tells what became of each.

Arguments: a connection string (several hosts or one), a name. Ends when standard input does.
Prints one line for each row: name, number, outcome (ack, unknown, refused), id, timeline,
port, begin and end in seconds of the monotonic clock, detail.
"""

import asyncio
import sys
import time

import psycopg

PATIENCE = 2.0
CONNECT_PATIENCE = 6.0
PAUSE = 0.01

conninfo, name = sys.argv[1], sys.argv[2]


def tell(number, outcome, began, detail="", row=0, timeline=0, port=0):
    ended = time.monotonic()
    detail = " ".join(str(detail).split())
    print(name, number, outcome, row, timeline, port, f"{began:.6f}", f"{ended:.6f}", detail, sep="\t", flush=True)


async def connect():
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    cursor = await connection.execute("SELECT timeline FROM walship_stat_failover")
    return connection, (await cursor.fetchone())[0]


async def write(connection, number):
    cursor = await connection.execute(
        "INSERT INTO written(writer, number) VALUES(%s, %s) RETURNING id", (name, number)
    )
    return (await cursor.fetchone())[0]


async def abandon(connection):
    # not a polite goodbye: the server may not be there to hear it
    connection.pgconn.finish()


async def main():
    stopped = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    connection, number = None, 0
    while not stopped.done():
        began = time.monotonic()
        if connection is None:
            try:
                connection, timeline = await asyncio.wait_for(connect(), CONNECT_PATIENCE)
                port = connection.info.port
            except (psycopg.Error, asyncio.TimeoutError, OSError):
                await asyncio.sleep(PAUSE)
                continue
        number += 1
        began = time.monotonic()
        try:
            row = await asyncio.wait_for(write(connection, number), PATIENCE)
            tell(number, "ack", began, row=row, timeline=timeline, port=port)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            tell(number, "unknown", began, "no answer", timeline=timeline, port=port)
            await abandon(connection)
            connection = None
        except psycopg.Error as error:
            # only an answer that has a code, and ends nothing that was begun, is a refusal
            refused = error.sqlstate == "25006"
            outcome = "refused" if refused else "unknown"
            tell(number, outcome, began, f"{error.sqlstate} {error}", timeline=timeline, port=port)
            await abandon(connection)
            connection = None
            await asyncio.sleep(PAUSE)


asyncio.run(main())
