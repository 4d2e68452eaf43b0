# shellcheck shell=bash
# Runs the parts of scripts/test and counts what passed, failed and was skipped.

passed=0
failed=0
skipped=0
running=''
completed=no

# A part that takes longer hangs.
PART_LIMIT=20m

# Starts the counting. Whatever happens from here on, the last line says how it went.
open_report() {
    mkdir -p "$TARGET"
    LOGS=$(mktemp -d "$TARGET/test.XXXXXX")
    trap close_report EXIT
    trap 'exit 130' INT TERM HUP
}

close_report() {
    trap - EXIT
    # timeout hands the signal on to all that the part has started.
    if [ -n "$running" ]; then
        kill "$running" 2>/dev/null || true
        wait "$running" || true
    fi
    if [ $completed = no ]; then
        say "scripts/test ended before all was run"
        failed=$((failed + 1))
    fi
    rm -rf "$LOGS"
    [ "$skipped" -eq 0 ] || local skipped_too=", $skipped skipped"
    say "$passed passed, $failed failed${skipped_too:-}"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ] || exit 1
    exit 0
}

# limited COMMAND…: in the background, so that a signal to this script is acted on at once.
limited() {
    local status=0
    timeout --kill-after=30s "$PART_LIMIT" "$@" &
    running=$!
    wait "$running" || status=$?
    running=''
    [ $status -ne 124 ] || say "stopped after $PART_LIMIT: $*"
    return $status
}

# check NAME COMMAND…: counts as one; the output is shown when it fails. Its status is that of the command.
check() {
    local name=$1
    shift
    if limited "$@" >"$LOGS/check" 2>&1; then
        say "ok      $name"
        passed=$((passed + 1))
    else
        cat "$LOGS/check"
        fail "$name"
        return 1
    fi
}

fail() {
    say "FAILED  $1"
    failed=$((failed + 1))
}

skip() {
    say "skipped $1"
    skipped=$((skipped + 1))
}

# cargo_tests NAME COMMAND…: counts the tests of a `cargo test`.
cargo_tests() {
    local name=$1 status=0 good bad ignored
    shift
    limited "$@" >"$LOGS/check" 2>&1 || status=$?
    read -r good bad ignored < <(
        awk '/^test result:/ { good += $4; bad += $6; ignored += $8 } END { print good + 0, bad + 0, ignored + 0 }' "$LOGS/check"
    )
    count_part "$name" $status "$good" "$bad" "$ignored"
}

# tap_tests NAME FILE…: counts the tests of files in Perl's test format, and shows the output of those that fail.
tap_tests() {
    local name=$1 status=0 good=0 bad=0 ignored=0
    shift
    rm -f "$LOGS/counts"
    limited "$ROOT/scripts/lib/run-tap" "$LOGS/counts" "$@" || status=$?
    [ ! -f "$LOGS/counts" ] || read -r good bad ignored <"$LOGS/counts"
    : >"$LOGS/check"
    count_part "$name" $status "$good" "$bad" "$ignored"
}

# A part that fails without a failed test (it did not compile, it crashed) counts as one, and so does one without tests.
count_part() {
    local name=$1 status=$2 good=$3 bad=$4 ignored=$5
    if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((good + ignored)) -eq 0 ]; }; then
        say "$name: status $status, $good tests passed"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + ignored))
    if [ "$bad" -eq 0 ]; then
        say "ok      $name ($good tests)"
    else
        cat "$LOGS/check"
        say "FAILED  $name ($good passed, $bad failed)"
    fi
}
