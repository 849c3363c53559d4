"""psycopg 3: logging in by password; what a wrong one gets."""
import sys

import psycopg

base = f"host=127.0.0.1 port={sys.argv[1]} user=ann dbname=postgres"
with psycopg.connect(f"{base} password=secret") as connection:
    assert connection.execute("SELECT current_user").fetchone()[0] == "ann"
    assert connection.info.parameter_status("is_superuser") == "off"
    assert connection.info.parameter_status("session_authorization") == "ann"
try:
    psycopg.connect(f"{base} password=wrong")
except psycopg.OperationalError as error:
    assert 'password authentication failed for user "ann"' in str(error), error
else:
    raise AssertionError("a wrong password logged in")
print("ok")
