#!/usr/bin/env bash
# docs/examples/locks.py over the beginning of a Linux boot: it finds locks that were held for long,
# and breakpoints measure the same times.
source "$(dirname "$0")/common.bash"
grep -q 'PYTHON_FOUND:INTERNAL=1' "$BUILD/CMakeCache.txt" || exit 77
source "$here/linux.bash"
source "$here/linux_debug.bash"
initramfs
hindsight record "${machine[@]}" --pace fast --max-time 300ms --append console=ttyS0 --serial null -o "$work/boot.hst"

cat >"$work/measure.py" <<'PYTHON'
import hindsight

def measure(row):
    """How long a mutex was held that is taken at a row's position."""
    hindsight.seek(row[-1])
    if hindsight.newest_frame().name() != 'mutex_lock':
        return None
    lock = hindsight.read_register('rdi')
    hindsight.execute('finish', to_string=True)
    taken = hindsight.time()
    hindsight.execute(f'break mutex_unlock if $rdi == {lock}', to_string=True)
    hindsight.execute('continue', to_string=True)
    hindsight.execute('delete')
    assert hindsight.read_register('rdi') == lock
    return hindsight.time() - taken

rows = [line.split() for line in open('table') if line.split()[-1].replace('.', '').isdigit()]
assert len(rows) > 3, rows
held = [int(row[0]) for row in rows]
assert held == sorted(held, reverse=True) and held[-1] > 100000, held
measured = 0
for row in rows:
    time = measure(row) if measured < 2 else None
    if time is not None:
        print(row[1], 'held for', row[0], 'measured', time)
        assert time == int(row[0])
        measured += 1
assert measured == 2
PYTHON
cd "$work"
debug boot.hst 'set $bound = 100000' "source $root/docs/examples/locks.py"
[ "$status" -eq 0 ] || fail "locks.py: status $status"
awk '/^ *held, ns/ { table = 1 } table { print } /times that a lock was taken/ { exit }' "$work/out" >"$work/table"
grep -qE '^[0-9]+ of [0-9]{4,} times that a lock was taken it was held for more than 100000 ns' "$work/table" ||
    fail "locks.py says no summary"
# What is held at the end has a row of its own.
at_end=$(sed -nE 's/.* ns; ([0-9]+) are held at the end.*/\1/p' "$work/table")
[ "$(sed '1,/^Held at /d' "$work/out" | grep -cE '^ *[0-9]+ .* [0-9]+\.[0-9]+$')" -eq "$at_end" ] ||
    fail "not $at_end locks that are held at the end"
debug boot.hst "source $work/measure.py"
[ "$status" -eq 0 ] || fail "measuring: status $status"
cat "$work/out"
