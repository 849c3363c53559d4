#!/usr/bin/env bash
# Keeps what the present version writes, so that later ones are held to reading it: makes
# fixtures/vN (N is the version of the log's format) from the programs in BUILT.
#
#   keep-version.sh BUILT
#
# Run once for each format version, when it is released; what is there is never made again,
# because the point of it is that an older program has written it.
set -euo pipefail

built=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
pids=()
clean() {
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap clean EXIT

ask() { # port, database, SQL
    psql -X -q -At -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$1" -U postgres -d "$2" -c "$3"
}
serve() { # program, directory, port, arguments
    local program=$1 directory=$2 port=$3
    shift 3
    "$built/$program" -D "$scratch/$directory" --listen "127.0.0.1:$port" -c unix_socket_directories= "$@" \
        >>"$scratch/$directory.log" 2>&1 &
    pids+=($!)
    for _ in $(seq 600); do
        if ask "$port" postgres "SELECT 1" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    cat "$scratch/$directory.log" >&2
    exit 1
}
fill() { # port, how many rows
    ask "$1" shop "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
        INSERT INTO item(name, price, picture) SELECT 'thing ' || i, i * 1.25, zeroblob(i % 700) FROM n"
    ask "$1" postgres "UPDATE notes SET words = words || '.'"
}
first=${FIRST_PORT:-27431} second=${SECOND_PORT:-27432}

"$built/walctl" init -D "$scratch/first" --wal-segment-size 1MB >/dev/null
serve walsender first "$first"
version=$(ask "$first" postgres "SHOW wal_format_version")
kept=$root/fixtures/v$version
if [ -e "$kept" ]; then
    echo "keep-version: $kept exists: what an older version wrote is never made again" >&2
    exit 1
fi
ask "$first" postgres "CREATE TABLE notes(id INTEGER PRIMARY KEY AUTOINCREMENT, words TEXT)"
ask "$first" postgres "INSERT INTO notes(words) VALUES ('first'), ('naïve'), (NULL)"
ask "$first" postgres "CREATE DATABASE shop"
ask "$first" shop "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, picture BLOB)"
ask "$first" shop "CREATE INDEX item_name ON item(name)"
ask "$first" shop "CREATE TABLE pair(a TEXT, b INT, PRIMARY KEY(a, b)) WITHOUT ROWID"
ask "$first" shop "INSERT INTO pair VALUES ('x', 1), ('x', 2), ('y', 1)"
ask "$first" postgres "CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data"
fill "$first" 500

# a node with a history: the follower becomes the leader
serve walreceiver second "$second" --init --name second --primary "host=127.0.0.1 port=$first user=postgres"
ask "$second" postgres "SELECT pg_promote()" >/dev/null
ask "$second" postgres "SELECT pg_create_physical_replication_slot('keeper', true)" >/dev/null
fill "$second" 300
"$built/walctl" basebackup -d "host=127.0.0.1 port=$second user=postgres" -D "$scratch/backup" -R --json >/dev/null

# more log than was checkpointed, and a crash
fill "$second" 200
ask "$second" shop "DELETE FROM item WHERE id % 7 = 0"
{
    for query in "SELECT count(*), sum(id), sum(price), sum(length(picture)) FROM item" "SELECT * FROM pair"; do
        echo "shop: $query"
        ask "$second" shop "$query"
    done
    for query in "SELECT * FROM notes" "SELECT slot_name FROM pg_replication_slots" \
        "SELECT rolname FROM pg_roles WHERE rolname = 'ann'" \
        "SELECT timeline_id FROM pg_control_checkpoint()"; do
        echo "postgres: $query"
        ask "$second" postgres "$query"
    done
} >"$scratch/expected.txt"
kill -9 "${pids[1]}"
wait "${pids[1]}" 2>/dev/null || true
rm -f "$scratch/second/postmaster.pid" "$scratch/second/postmaster.opts"

mv "$scratch/second" "$scratch/cluster"
mkdir -p "$kept"
mv "$scratch/expected.txt" "$kept/"
for directory in cluster backup; do
    tar -C "$scratch" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$directory" | gzip -9n >"$kept/$directory.tar.gz"
done
(cd "$kept" && sha256sum -- * >SHA256SUMS)
du -sh "$kept"
