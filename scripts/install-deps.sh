#!/usr/bin/env bash
# Installs what the tests need beyond Rust: PostgreSQL 15 (its programs are the stock
# clients, and the oracle), sqlite3, openssl, strace, Node.js, Chromium, promtool, the drivers of
# tests/drivers, and what looks at units, pages and packages.
# On Debian as root it uses apt-get; anywhere else it names what is missing and fails.
# Does nothing, quickly, when everything is there.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
drivers=${WALSHIP_DRIVERS:-$target/drivers}

have() { command -v "$1" >/dev/null 2>&1; }
have_server() { compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || have postgres; }
have_venv() { have python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }

missing=() packages=()
need() { # what it is called, the Debian packages that bring it
    missing+=("$1")
    shift
    packages+=("$@")
}
have_server || need "PostgreSQL 15" postgresql-15
{ have psql && have pgbench && have pg_isready; } || need "PostgreSQL's client programs" postgresql-client-15
have sqlite3 || need sqlite3 sqlite3
have openssl || need openssl openssl
have strace || need strace strace
have_venv || need "Python 3 with venv" python3 python3-venv
have systemd-analyze || need systemd-analyze systemd
have man || need man man-db
{ have dpkg-deb && have objdump; } || need "dpkg-deb and objdump" dpkg binutils
# the one without a window is the smallest
have chromium-headless-shell || have chromium || have chromium-browser || have google-chrome \
    || need Chromium chromium-headless-shell
{ have node && have npm; } || need "Node.js with npm" nodejs npm

if [ ${#missing[@]} -gt 0 ]; then
    list=$(printf '%s, ' "${missing[@]}")
    if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
        echo "install-deps: missing: ${list%, }" >&2
        exit 1
    fi
    echo "install-deps: installing with apt-get: ${packages[*]}"
    # the package would start a server of its own, which nobody here wants
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        -o Dpkg::Options::=--force-confold "${packages[@]}" >/dev/null
fi

# Prometheus' checker alone, from its package: that would start a server, which nobody here wants
promtool=$drivers/bin/promtool
if ! have promtool && [ ! -x "$promtool" ]; then
    if ! have apt-get || ! have dpkg-deb; then
        echo "install-deps: missing: promtool (of Prometheus)" >&2
        exit 1
    fi
    echo "install-deps: promtool into $drivers/bin"
    mkdir -p "$drivers/bin"
    unpacked=$(mktemp -d "$drivers/prometheus.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    # apt drops its privileges for downloads
    chmod 755 "$unpacked"
    fetch() { (cd "$unpacked" && apt-get download -q prometheus >/dev/null 2>&1); }
    if ! fetch && ! { apt-get update -q >/dev/null 2>&1 && fetch; }; then
        echo "install-deps: could not download the package prometheus (for promtool) with apt-get" >&2
        exit 1
    fi
    dpkg-deb -x "$unpacked"/prometheus_*.deb "$unpacked"
    mv "$unpacked/usr/bin/promtool" "$promtool"
fi

# a stamp holds the versions that were installed, so that a change of them reinstalls
python_stamp=$drivers/venv/.installed
if ! cmp -s "$root/tests/drivers/requirements.txt" "$python_stamp"; then
    echo "install-deps: Python drivers into $drivers/venv"
    mkdir -p "$drivers"
    python3 -m venv --clear "$drivers/venv"
    "$drivers/venv/bin/pip" install --quiet --disable-pip-version-check \
        -r "$root/tests/drivers/requirements.txt"
    cp "$root/tests/drivers/requirements.txt" "$python_stamp"
fi

node_stamp=$drivers/node/.installed
if ! cmp -s "$root/tests/drivers/package.json" "$node_stamp"; then
    echo "install-deps: Node.js drivers into $drivers/node"
    mkdir -p "$drivers/node"
    cp "$root/tests/drivers/package.json" "$drivers/node/package.json"
    (cd "$drivers/node" && npm install --silent --no-audit --no-fund --no-package-lock)
    cp "$root/tests/drivers/package.json" "$node_stamp"
fi
