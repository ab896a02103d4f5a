#!/usr/bin/env bash
# hindsight_tcg (tests/lab/README.md) interprets whatever HINDSIGHT_NATIVE says: translated code would make of
# undefined flags what AMD's processors do, and a run would be one that no replay has.
ENGINES=soft source "$(dirname "$0")/common.bash"
HINDSIGHT=$(dirname "$HINDSIGHT")/hindsight_tcg
for guest in ports entropy; do
    HINDSIGHT_NATIVE=eager hindsight record --engine soft --seed 7 --kernel "$GUESTS/$guest.elf" -o "$work/$guest.hst"
    HINDSIGHT_NATIVE=off identical "$work/$guest.hst"
    echo "$guest: $(replayed_events) events"
done
