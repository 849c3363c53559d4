"""psycopg 3 over TLS, with and without channel binding."""
import os
import sys

import psycopg

base = f"host=127.0.0.1 port={sys.argv[1]} user=ann dbname=postgres password=secret"
root = os.environ["WALSHIP_TEST_ROOT"]
for more in [
    "sslmode=require",
    f"sslmode=verify-ca sslrootcert={root}",
    f"sslmode=verify-full sslrootcert={root} channel_binding=require",
]:
    with psycopg.connect(f"{base} {more}") as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == (True,), row
        # more than one TLS record in each direction
        big = "x" * 300_000
        assert connection.execute("SELECT %s", (big,)).fetchone()[0] == big
try:
    psycopg.connect(f"{base} sslmode=disable")
except psycopg.OperationalError as error:
    assert "pg_hba.conf rejects connection" in str(error), error
else:
    raise AssertionError("in clear, and let in")
print("ok")
