#!/usr/bin/env bash
# Random bytes of the host reach a guest through virtio-rng: two runs get different ones, a replay
# the recorded ones, on each engine.
source "$(dirname "$0")/common.bash"
for engine in $(engines); do
    for run in 1 2; do
        hindsight record --engine "$engine" --kernel "$GUESTS/entropy.elf" -o "$work/$run.hst"
        [ "$status" -eq 0 ] || fail "record on $engine: status $status"
        mv "$work/out" "$work/$run.txt"
        [ "$("$HINDSIGHT" info "$work/$run.hst" | grep -c 'input entropy')" -eq 1 ] || fail "no entropy"
    done
    ! cmp -s "$work/1.txt" "$work/2.txt" || fail "two runs on $engine got the same random bytes"
    for run in 1 2; do
        identical "$work/$run.hst" --console
        head -c "$(stat -c %s "$work/$run.txt")" "$work/out" | cmp -s - "$work/$run.txt" ||
            fail "the replay on $engine has other random bytes"
    done
    echo "entropy on $engine: identical"
done
