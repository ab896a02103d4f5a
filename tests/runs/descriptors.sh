#!/usr/bin/env bash
# What a shell does with the standard descriptors: closed ones, a script that is there before the
# guest listens, and a replay ended by a signal.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
hello=(--engine "$engine" --pace fast --kernel "$GUESTS/hello.elf")

status=0
"$HINDSIGHT" record "${hello[@]}" -o "$work/t.hst" >"$work/out" 2>"$work/err" <&- || status=$?
[ "$status" -eq 0 ] || fail "standard input closed: status $status"
grep -q hello "$work/out" || fail "standard input closed: no output"
identical "$work/t.hst"
status=0
"$HINDSIGHT" record "${hello[@]}" -o "$work/none.hst" >&- 2>"$work/err" </dev/null || status=$?
[ "$status" -eq 125 ] || fail "standard output closed: status $status"
grep -q 'standard output is closed' "$work/err" || fail "standard output closed: not said"
[ ! -e "$work/none.hst" ] || fail "standard output closed: a trace"
for command in "info $work/t.hst" "replay $work/t.hst" "dump $work/t.hst" --version --help "doctor --help"; do
    status=0
    "$HINDSIGHT" $command >&- 2>"$work/err" </dev/null || status=$?
    [ "$status" -ne 0 ] || fail "$command, standard output closed: status 0"
    [ -s "$work/err" ] || fail "$command, standard output closed: says nothing"
done
status=0
"$HINDSIGHT" record "${hello[@]}" -o "$work/t.hst" >"$work/out" 2>&- </dev/null || status=$?
[ "$status" -eq 0 ] || fail "standard error closed: status $status"
identical "$work/t.hst"
if grep -qa hindsight: "$work/t.hst"; then
    fail "a message went into the trace"
fi
echo "closed descriptors: used for nothing else"

# A paste of 88 KB and more, complete from its first byte, to a guest that listens late.
python3 -c '
import random, sys
random.seed(1)
sys.stdout.buffer.write(bytes(random.choice(b"abcdefgh \n\t0123") for _ in range(90000)))' >"$work/paste"
wanted=$(python3 -c '
import sys
data = open(sys.argv[1], "rb").read()
print(f"{len(data)} bytes, sum {sum(b * (i % 251) for i, b in enumerate(data, 1))}")' "$work/paste")
for engine in $(engines); do
    for poll in 0 1; do
        { cat "$work/paste" && printf '\004'; } | timeout 90 "$HINDSIGHT" record --engine "$engine" \
            --kernel "$GUESTS/paste.elf" --append "poll=$poll" -o "$work/paste.hst" >"$work/out" 2>"$work/err" ||
            fail "paste on $engine, poll=$poll: status $?"
        grep -qF "paste: $wanted" "$work/out" || fail "paste on $engine, poll=$poll: not $wanted"
        identical "$work/paste.hst"
    done
    echo "$engine: a paste arrives whole"
done

# An interrupted replay is not a good one.
"$HINDSIGHT" record --engine soft --pace fast --serial null --kernel "$GUESTS/spin.elf" \
    --append loops=3000000000 --max-time 6s -o "$work/long.hst" >"$work/out" 2>"$work/err" </dev/null ||
    [ $? -eq 108 ] || fail "a time limit: another status"
for signal in INT TERM HUP; do
    HINDSIGHT_NATIVE=off "$HINDSIGHT" replay "$work/long.hst" >"$work/out" 2>"$work/err" </dev/null &
    children=($!)
    wait_for caught "$signal" "${children[0]}"
    wait_for computed "${children[0]}" 10
    kill -$signal "${children[0]}"
    status=0
    wait "${children[0]}" || status=$?
    children=()
    [ "$status" -eq $((128 + $(kill -l $signal))) ] || fail "SIG$signal: a replay ends with status $status"
    grep -q 'interrupted at' "$work/err" || fail "SIG$signal: a replay does not say so"
done
echo "an interrupted replay says so"
