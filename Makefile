# The front door. Everything that CI does is a target here.

CARGO      ?= cargo
TARGET_DIR  = $(or $(CARGO_TARGET_DIR),target)
RUNNER      = ./scripts/test.sh
PREFIX     ?= /usr/local
DESTDIR    ?=

.PHONY: help build run test test-heavy check bench failovers fixtures fmt lint doc install-deps install uninstall deb clean

help: ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

build: ## the release programs: target/release/{walsender,walreceiver,walctl}
	$(CARGO) build --release --locked -p walsender -p walreceiver -p walctl -p walship-manual

run: build ## a leader and a follower with a real database under ./data, until Ctrl-C
	@$(CARGO) build --release --locked -p walship-tests --bin demo
	@exec $(TARGET_DIR)/release/demo

test: install-deps ## the whole suite
	@$(RUNNER)

test-heavy: install-deps ## the suite with the memory tests at full size (tens of minutes, 10 GB of disk)
	@WALSHIP_TEST_HEAVY=1 $(RUNNER)

check: fmt lint doc test ## what CI runs

bench: install-deps ## commits per second, log bytes, replay rate, memory, beside PostgreSQL
	$(CARGO) build --release --locked -p walsender -p walreceiver -p walctl
	$(CARGO) build --release --locked -p walship-tests --bin bench
	@$(TARGET_DIR)/release/bench

failovers: install-deps ## hundreds of random failovers; WALSHIP_FAILOVERS and WALSHIP_SEED say how many, and which
	WALSHIP_FAILOVERS=$${WALSHIP_FAILOVERS:-300} $(CARGO) nextest run --profile failovers -p walship-tests --no-capture s058

fixtures: ## regenerates fixtures/wal; leaves the tree unchanged (fixtures/vN are kept for ever)
	$(CARGO) run --locked -q -p walship-wal --example make_fixtures

fmt: ## formatting, checked
	$(CARGO) fmt --all --check

lint: ## clippy, and shellcheck where it is installed
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh docs/scripts/*.sh packaging/*.sh packaging/debian/build.sh packaging/debian/p* .ci/run; fi

doc: ## the API documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps -q

install-deps: ## what the tests need beyond Rust: PostgreSQL 15, sqlite3, the drivers
	@./scripts/install-deps.sh

install: ## what "make build" has built, below PREFIX (/usr/local); DESTDIR is put before every path
	@./packaging/install.sh $(TARGET_DIR)/release $(PREFIX) $(DESTDIR)

uninstall: ## removes what install has placed
	@./packaging/uninstall.sh $(PREFIX) $(DESTDIR)

deb: build ## a Debian package of it: target/debian/walship_*.deb
	@./packaging/debian/build.sh $(TARGET_DIR)/release $(TARGET_DIR)/debian

clean: ## removes what was built, and nothing under ./data
	$(CARGO) clean
