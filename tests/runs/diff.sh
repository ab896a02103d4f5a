#!/usr/bin/env bash
# Two runs are held against each other: where they part, in events and in the guest's words.
source "$(dirname "$0")/common.bash"
crash=(--engine soft --pace fast --serial null --kernel "$GUESTS/crash.elf" --append 'ticks=600 hz=10000' --chaos)
for seed in 1 2; do
    hindsight record "${crash[@]}" --seed $seed -o "$work/$seed.hst"
done
hindsight diff "$work/1.hst" "$work/1.hst"
[ "$status" -eq 0 ] && grep -q '^the runs are the same$' "$work/out" || fail "a run and itself: status $status"
hindsight diff "$work/1.hst" "$work/2.hst"
[ "$status" -eq 1 ] || fail "two runs: status $status"
for text in '^setting     seed: A 1, B 2$' '^input       number [0-9]*: A .*; B ' \
    '^event       [0-9]* is the first that differs$' '^console     line [0-9]* is the first that differs$' \
    '^  A         from event [0-9]*: ' '^  #[0-9] .*guest_main (boot='; do
    grep -q "$text" "$work/out" || { cat "$work/out"; fail "no '$text'"; }
done
# The event is the first that dump shows to differ.
event=$(sed -n 's/^event *\([0-9]*\) is.*/\1/p' "$work/out")
for seed in 1 2; do
    "$HINDSIGHT" dump "$work/$seed.hst" --kind events --to "$event" >"$work/$seed"
done
cmp -s <(head -n $((event - 1)) "$work/1") <(head -n $((event - 1)) "$work/2") || fail "they part before event $event"
! cmp -s "$work/1" "$work/2" || fail "they are the same up to event $event"

# What the debugger is told for the names of places.
hindsight diff "$work/1.hst" "$work/2.hst" --symbols "$GUESTS/hello.elf"
[ "$status" -eq 1 ] && [ "$(grep -c '^  .*hello.elf: not what runs in this trace' "$work/out")" -eq 2 ] ||
    fail "symbols of something else are not refused"
hindsight diff "$work/1.hst" "$work/2.hst" -ex 'printf "#%d of it\n", 3'
[ "$status" -eq 1 ] && [ "$(grep -c '^  #3 of it$' "$work/out")" -eq 2 ] || fail "a command before is not executed"
refused 2 'at most 16' diff a b $(printf -- '--symbols x %.0s' $(seq 17))

# Machines and files that differ; runs without checks; what is no trace.
hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" --memory 64M -o "$work/hello.hst"
hindsight diff --no-context "$work/1.hst" "$work/hello.hst"
[ "$status" -eq 1 ] || fail "two guests: status $status"
for text in '^setting     memory: A 134217728, B 67108864$' '^setting     chaos: A on, B none$' \
    '^boot file   kernel: A [0-9]* bytes, XXH3'; do
    grep -q "$text" "$work/out" || { cat "$work/out"; fail "no '$text'"; }
done
! grep -q 'was at' "$work/out" || fail "--no-context shows some"
hindsight strip "$work/1.hst" -o "$work/stripped.hst"
hindsight diff "$work/1.hst" "$work/stripped.hst"
[ "$status" -eq 0 ] && grep -q 'not compared: a trace has no checks' "$work/out" || fail "stripped: status $status"
refused 125 'No such file' diff "$work/1.hst" "$work/none.hst"
refused 2 'give two traces' diff "$work/1.hst"
head -c 3000 "$work/1.hst" >"$work/cut.hst"
printf x | dd of="$work/cut.hst" bs=1 seek=20 conv=notrunc 2>/dev/null
refused 4 '' diff "$work/1.hst" "$work/cut.hst"
echo "where two runs part is told"
