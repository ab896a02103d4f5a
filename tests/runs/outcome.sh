#!/usr/bin/env bash
# What became of a guest is told by the exit status of what ran it, and by the trace afterwards.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
on=(--engine "$engine" --pace fast --serial null)

# outcome STATUS NAME: of the last run, and of its trace.
outcome()
{
    local wanted=$1 name=$2
    [ "$status" -eq "$wanted" ] || { cat "$work/err"; fail "$name: status $status, not $wanted"; }
    cp "$work/err" "$work/said"
    hindsight info --json "$work/t.hst"
    grep -q "\"outcome\": \"$name\", \"exit_status\": $wanted," "$work/out" ||
        fail "info --json does not say $name, $wanted: $(cat "$work/out")"
    hindsight info "$work/t.hst"
    grep -q "^outcome  *$name, exit status $wanted$" "$work/out" || fail "info does not say $name, $wanted"
    identical "$work/t.hst"
}

hindsight record "${on[@]}" --kernel "$GUESTS/hello.elf" -o "$work/t.hst"
outcome 0 ended
hindsight record "${on[@]}" --kernel "$GUESTS/crash.elf" -o "$work/t.hst" --append 'ticks=6000 hz=10000'
outcome 85 status

# Lines on the console: those asked for, those that Linux has, none.
hello=(record "${on[@]}" --kernel "$GUESTS/hello.elf" -o "$work/t.hst")
hindsight "${hello[@]}" --append 'not ok 3' --fail-on '^never$' --fail-on 'not ok [0-9]+"'
outcome 102 report
grep -q 'reports a failure at event [0-9]*: booted by .*not ok 3' "$work/said" || fail "the line is not told"
hindsight info --json "$work/t.hst"
grep -q '"text": "booted by .*not ok 3' "$work/out" || fail "the line is not in the trace"
hindsight run "${on[@]}" --kernel "$GUESTS/hello.elf" --append 'not ok' --fail-on 'not ok'
[ "$status" -eq 102 ] || fail "run --fail-on: status $status"
# The guest prints its command line: what follows a carriage return begins a line.
printed()
{
    hindsight "${hello[@]}" --append "first"$'\r'"$1" "${@:2}"
}
printed '[   12.345678][  T123] BUG: kernel NULL pointer dereference, address: 0000000000000008'
outcome 102 report
printed 'Oops: 0002 [#1] PREEMPT SMP' --fail-fast
outcome 102 report
printed 'traps: a[1] general protection fault ip:401136'
outcome 0 ended
printed 'BUG: nothing looks for it' --no-fail-on
outcome 0 ended
printed 'yes' --no-fail-on --fail-on '^no$'
outcome 0 ended
refused 2 '--fail-on' "${hello[@]}" --fail-on '('
hindsight fork "$work/t.hst" --at 0 --serial null --fail-on 'nothing' -o "$work/f.hst"
[ "$status" -eq 0 ] || fail "fork --fail-on: status $status"

# Silence, limits, a triple fault, a signal, the host.
hindsight record "${on[@]}" --kernel "$GUESTS/spin.elf" --append loops=3000000000 --hang 1s -o "$work/t.hst"
outcome 104 hang
hindsight record "${on[@]}" --kernel "$GUESTS/clock.elf" --append ticks=20 --hang 100s -o "$work/t.hst"
outcome 0 ended
refused 2 '--hang' "${hello[@]}" --hang 0
hindsight record "${on[@]}" --kernel "$GUESTS/spin.elf" --append loops=3000000000 --max-time 1s -o "$work/t.hst"
outcome 108 limit
hindsight record "${on[@]}" --kernel "$GUESTS/pio.elf" --append count=1000000000 --max-size 400K -o "$work/t.hst"
outcome 108 limit
python3 - "$work/ud2.elf" <<'PYTHON'
import struct
import sys
# ELF64 at 1 MiB: UD2, with no IDT to take it.
code, base = b"\x0f\x0b", 0x100000
header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base, 64, 0, 0, 64, 56, 1, 0, 0, 0)
program = struct.pack("<IIQQQQQQ", 1, 5, 120, base, base, len(code), len(code), 4096)
open(sys.argv[1], "wb").write(header + program + code)
PYTHON
hindsight record "${on[@]}" --boot elf64 --kernel "$work/ud2.elf" -o "$work/t.hst"
outcome 106 shutdown
rm "$work/t.hst"
"$HINDSIGHT" record "${on[@]}" --kernel "$GUESTS/pio.elf" --append count=1000000000 -o "$work/t.hst" \
    2>"$work/err" >"$work/out" </dev/null &
children=($!)
wait_for test -s "$work/t.hst"
kill -TERM "${children[0]}"
status=0
wait "${children[0]}" || status=$?
children=()
outcome 143 interrupted
refused 125 'No such file' record "${on[@]}" --kernel "$work/none" -o "$work/t.hst"
echo "each way to end has a status of its own, and the trace says it"
