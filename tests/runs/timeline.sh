#!/usr/bin/env bash
# Random walks in a trace, both ways: every stop is the machine that a straight replay has there.
source "$(dirname "$0")/common.bash"
moves=${COUNT:-60}

hindsight record --engine soft --pace fast --memory 16M --kernel "$GUESTS/clock.elf" \
    --append "ticks=60" --serial null -o "$work/clock.hst"
[ "$status" -eq 0 ] || fail "record clock: status $status"
"$BUILD/bin/timeline_walk" "$work/clock.hst" "$moves" 1 || fail "clock"

hindsight record --engine soft --pace fast --memory 16M --kernel "$GUESTS/crash.elf" \
    --append "ticks=20 hz=50000" --serial null -o "$work/crash.hst"
"$BUILD/bin/timeline_walk" "$work/crash.hst" "$moves" 2 || fail "crash"
