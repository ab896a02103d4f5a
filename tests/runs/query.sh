#!/usr/bin/env bash
# `hindsight query`: every question's example as text and as JSON, what devices write, what is asked
# wrongly, a part of the run, the limit, a trace that was cut off, and a file of checkpoints.
source "$(dirname "$0")/common.bash"
cd "$work"

# One seed, one run: at other times of day the guest's race may end it before all its interrupts.
hindsight record --engine soft --pace fast --seed 7 --kernel "$GUESTS/crash.elf" --append 'ticks=40 hz=1000' \
    -o crash.hst
truncate -s 1M disk.img
hindsight record --engine soft --pace fast --kernel "$GUESTS/disk.elf" --disk file=disk.img -o disk.hst

# json EXPRESSION: of what was printed, a Python expression over `answer` that has to hold.
json()
{
    python3 -c 'import json, sys
answer = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' out "$1" || fail "JSON: not $1"
}
said()
{
    grep -qE -- "$1" out || fail "no '$1'"
}

# The example of each as help has it; -json gives the same rows.
for name in query when calls executes writes reads faults syscalls switches dprintf; do
    hindsight debug crash.hst --batch -ex "help $name"
    example=$(sed -n 's/^Example: //p' out)
    [ -n "$example" ] || fail "help $name: no example"
    hindsight debug crash.hst --batch -ex "${example/-json /}"
    [ "$status" -eq 0 ] || fail "$example: status $status"
    said '^[0-9]+ rows?\. Looked at 0\.0 to [0-9]+\.[0-9]+, [0-9]+ instructions\.$'
    rows=$(sed -nE 's/^([0-9]+) rows?\. Looked.*/\1/p' out)
    hindsight query crash.hst --json "${example#query -json }"
    [ "$status" -eq 0 ] || fail "$example, JSON: status $status"
    json "len(answer['rows']) == $rows and answer['covered']['whole'] and answer['covered']['ended'] == 'end'"
    echo "$example: $rows rows"
done
hindsight query crash.hst 'when ticks == 5'
said '^1 row\. Looked at'
hindsight query crash.hst --json 'when ticks % 2'
json "len(answer['rows']) == 20 and all(row['instructions'] > 0 for row in answer['rows'][:-1])"

hindsight query crash.hst 'calls handle_pit'
said '^position +time +vcpu +function +arguments +instructions +duration +caller$'
said '^[0-9]+\.[0-9]+ +0\.[0-9]{9} +0 +handle_pit +frame=0x[0-9a-f]+ +[0-9]+ +0\.[0-9]{9} +0x[0-9a-f]+ <interrupt_common\+[0-9]+>$'
# The position leads to the call.
at=$(sed -n '2s/ .*//p' out)
hindsight debug crash.hst --batch -ex "seek $at" -ex 'print/x $rip == (long)&handle_pit'
said '= 0x1$'
hindsight query crash.hst --json 'writes ticks'
json "[row['value'] for row in answer['rows']][:3] == ['0x1', '0x2', '0x3'] and answer['rows'][0]['by_symbol'].startswith('handle_pit+')"
hindsight query crash.hst --json 'dprintf handle_pit,"%d of %s\n",ticks,"them"'
json "answer['rows'] == [] or 'text' in answer['rows'][0]"
hindsight query crash.hst --json 'executes handle_pit'
json "all(row['first_symbol'] == 'handle_pit' for row in answer['rows'])"
hindsight query crash.hst --json irqs
json "all(row['vector'] == 32 for row in answer['rows'])"
echo "each tells what the guest did"

# Devices write too, and sectors are places.
hindsight query disk.hst --json --limit 100000 'writes phys:0x100000,0xf00000'
json "any(row['kind'] == 'write (device)' for row in answer['rows'])"
hindsight query disk.hst --json 'writes sector:0,2048'
json "answer['rows'] and all(row['kind'] == 'write' for row in answer['rows'])"
hindsight query disk.hst --json 'reads sector:0,2048'
json "answer['rows'] and all(row['kind'] == 'read' for row in answer['rows'])"
echo "what devices write and sectors are told"

# Parts and bounds.
hindsight query crash.hst --json --limit 5 'reads ticks'
json "len(answer['rows']) == 5 and answer['covered']['ended'] == 'limit' and not answer['covered']['whole']"
hindsight query crash.hst --limit 5 'reads ticks'
said '^The limit of rows was reached there, at [0-9]+% of the events that were asked for: -limit allows more\.$'
hindsight query crash.hst --from 20% --to 60% 'calls handle_pit'
rows=$(sed -nE 's/^([0-9]+) rows?\. Looked.*/\1/p' out)
[ "$rows" -gt 8 ] && [ "$rows" -lt 32 ] || fail "$rows of 40 calls in a part"
size=$(stat -c %s crash.hst)
head -c $((size * 3 / 4)) crash.hst >cut.hst
hindsight query cut.hst 'calls handle_pit'
[ "$status" -eq 0 ] || fail "a trace that was cut off: status $status"
said '^The recording was cut off there\.$'
hindsight query cut.hst --json 'calls handle_pit'
json "answer['covered']['ended'] == 'cut-off'"
hindsight query crash.hst --cache-file kept 'calls handle_pit'
cp out first
hindsight query crash.hst --cache-file kept 'calls handle_pit'
cmp -s first out || fail "a file of checkpoints changes the answer"
echo "parts, limits and what was cut off are said"

wrong()
{
    hindsight query crash.hst "${@:2}"
    [ "$status" -eq 1 ] || fail "${*:2}: status $status"
    grep -qE -- "$1" err || fail "${*:2}: no '$1'"
    [ ! -s out ] || fail "${*:2}: prints something"
}
wrong "no function 'nothing'" 'calls nothing'
wrong 'is data, not a function' 'calls ticks'
wrong 'give the name of a function' 'calls'
wrong 'give a function' 'executes'
wrong 'has no bytes' 'executes 0x1000,0'
wrong "no function 'nothing'" 'executes nothing'
wrong 'no symbol' 'writes nothing'
wrong 'is no variable' 'writes 0x1000'
wrong 'has no bytes' 'writes 0x1000,0'
wrong 'no disk' 'writes sector:0'
wrong 'would change something' 'when ticks = 3'
wrong 'would change something' 'when ticks++'
wrong 'would change something' 'when ticks += 3'
wrong 'would change something' 'when --ticks'
wrong 'would change something' 'when ticks <<= 1'
wrong 'would change something' 'when $mine = 3'
wrong 'calls a function' 'when pit_count() == 3'
wrong 'registers change' 'when $rax == 3'
wrong 'no symbol' 'when nothing == 3'
wrong 'not mapped|cannot be read|no memory' 'when *(long *)0xf0000000'
wrong 'takes no argument' 'irqs 3'
wrong 'is no system call' 'syscalls nothing'
wrong "symbols of this guest's Linux kernel" 'allocs 0x1000'
wrong 'symbols are needed' 'conflicts nobody'
wrong 'give the name of a process' conflicts
wrong 'as in dprintf' 'dprintf handle_pit'
wrong "no function 'nothing'" 'dprintf nothing,"x"'
wrong 'ask for calls' 'frobnicate'
wrong 'ask for calls' ''
wrong 'must be after' --from 60% --to 40% 'calls handle_pit'
wrong 'at least one row' --limit 0 'calls handle_pit'
wrong 'is not a position' --from nowhere 'calls handle_pit'
hindsight query crash.hst
[ "$status" -eq 2 ] || fail "without a question: status $status"
hindsight query nothing.hst irqs
[ "$status" -eq 1 ] || fail "without a trace: status $status"
# What is never mapped has no rows, and why is said.
hindsight query crash.hst 'writes 0xffff800000000000,8'
said '^0xffff800000000000 is not mapped where the look ended\.$'
hindsight query crash.hst 'reads phys:0xf00000000'
said '^0xf00000000 is no RAM where the look ended\.$'
hindsight query crash.hst 'executes 0xffff800000000000,8'
said '^0xffff800000000000 is not mapped where the look ended\.$'
hindsight query crash.hst 'when *(long *)0xffff800000000000 == 1'
said '^Where the look ended it cannot be told: .*not mapped$'
# Symbols of what is elsewhere, or not there at all.
hindsight query crash.hst --symbols "$GUESTS/disk.elf" 'calls disk_write'
[ "$status" -eq 1 ] && grep -q 'not what runs in this trace' err || fail "another guest's symbols: status $status"
hindsight query crash.hst -ex "add-symbol-file $GUESTS/disk.elf -o 0xe0000000 -f" 'calls write_range'
said '^0xe0[0-9a-f]{6} is no RAM where the look ended\.$'
said '^0 rows\. '
# A hundred million rows may come, and need not.
hindsight query crash.hst --json --limit 100000000 'reads ticks'
json "answer['covered']['ended'] == 'end' and len(answer['rows']) > 5"
echo "what is asked wrongly is refused"
