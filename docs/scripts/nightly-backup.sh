#!/bin/sh
# The life of a scripted base backup: take one, verify it, prove that a follower starts
# from it, throw that follower away, and keep the last few backups.
#
#   nightly-backup.sh CONNINFO BACKUPS [KEEP]
#
# CONNINFO names the server ("host=127.0.0.1 port=5433 user=postgres"), BACKUPS is a
# directory with room for KEEP + 2 copies of the cluster (KEEP is 7 unless given).
# Quiet if all is well; the exit status is that of the first step that failed.
set -eu

conninfo=$1
backups=$2
keep=${3:-7}

name=$(date -u +%Y%m%dT%H%M%SZ)
trial=$backups/.trial
pid=

clean() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$trial"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

# what an earlier run left behind when it was killed
rm -rf "$trial"

# a backup that fails or is interrupted removes itself
walctl basebackup -d "$conninfo" -D "$backups/$name" -R -l "nightly $name" --json >/dev/null
walctl verifybackup --quiet --deep --scratch "$backups" "$backups/$name"

# a copy, because a follower writes to its directory; no slot, because it is soon gone
cp -a "$backups/$name" "$trial"
walreceiver -D "$trial" --name trial --no-slot --listen 127.0.0.1:"${TRIAL_PORT:-5499}" \
    -c unix_socket_directories= >"$backups/trial.log" 2>&1 &
pid=$!

tries=0
until psql -X -q -h 127.0.0.1 -p "${TRIAL_PORT:-5499}" -U postgres -d postgres \
    -Atc "SELECT pg_last_wal_replay_lsn()" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 600 ] || ! kill -0 "$pid" 2>/dev/null; then
        echo "nightly-backup: no follower starts from $backups/$name, see $backups/trial.log" >&2
        exit 1
    fi
    sleep 0.1
done

# names are times, so that the oldest come first
find "$backups" -mindepth 1 -maxdepth 1 -type d -name '[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z' -printf '%f\n' | sort -r | tail -n +"$((keep + 1))" |
    while read -r old; do rm -rf "${backups:?}/$old"; done
