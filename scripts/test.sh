#!/usr/bin/env bash
# Builds the programs and runs every test: units, the crates' own API tests, and the
# end-to-end suite with the real programs. Uses cargo-nextest where it is installed.
# Closes with one line: "N passed, N failed".
# Arguments are names of tests, as cargo test takes them; without any, all run.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
cargo=${CARGO:-cargo}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# the end-to-end tests start these; a stale one would test nothing
"$cargo" build --locked --workspace --bins || exit 1

# every test of the suite has a pair of servers: more at once than this, and two cores
# measure their own scheduling
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-3}

passed=0 failed=0 status=0
if "$cargo" nextest --version >/dev/null 2>&1; then
    "$cargo" nextest run --locked --workspace --no-fail-fast --test-threads "$RUST_TEST_THREADS" \
        --status-level slow --final-status-level fail "$@" 2>&1 | tee "$log" || status=1
    # Summary [ 12.345s] 120 tests run: 119 passed (2 slow), 1 failed, 0 skipped
    summary=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E 'Summary \[' | tail -1)
    passed=$(grep -oE '[0-9]+ passed' <<<"$summary" | grep -oE '[0-9]+' || echo 0)
    failed=$(grep -oE '[0-9]+ (failed|timed out)' <<<"$summary" | awk '{ n += $1 } END { print n + 0 }')
    doc=(--doc)
else
    doc=()
fi
# what nextest does not run: the examples in the documentation
"$cargo" test --locked --workspace --no-fail-fast "${doc[@]}" "$@" 2>&1 | tee "$log" || status=1
while read -r ok bad; do
    passed=$((passed + ok)) failed=$((failed + bad))
done < <(sed -nE 's/^test result: [A-Za-z]+\. ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log")

if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1 # something did not build or did not end
fi
echo "$passed passed, $failed failed"
exit "$status"
