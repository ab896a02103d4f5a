#!/usr/bin/env bash
# What docs/debugger.md shows of Python is what it does: the example of a script, and the lines typed.
source "$(dirname "$0")/common.bash"
grep -q 'PYTHON_FOUND:INTERNAL=1' "$BUILD/CMakeCache.txt" || exit 77
manual=$here/../../docs/debugger.md
trace=$work/crash.hst
# One seed, one run: at other times of day the guest's race may end it before the fifth interrupt.
hindsight record --engine soft --pace fast --seed 7 --kernel "$GUESTS/crash.elf" --append 'ticks=20 hz=1000' --serial null -o "$trace"

# section LANGUAGE: the section's first block of that language. All is read: a pipe that breaks is a failure.
section()
{
    sed -n '/^### python$/,/^### save$/p' "$manual" |
        awk -v start="\`\`\`$1" '!block && $0 == start { block = 1; next } block == 1 && /^```$/ { block = 2 } block == 1'
}
section python >"$work/example.py"
[ -s "$work/example.py" ] || fail "there is no example"
for way in "-x $work/example.py" "-ex 'source $work/example.py'"; do
    eval "hindsight debug '$trace' --batch $way"
    [ "$status" -eq 0 ] || fail "$way: status $status"
    [ "$(grep -cE '^[0-9]+\.[0-9]+ [0-9]+$' "$work/out")" -eq 4 ] || fail "$way: not four lines"
done

# Lines typed, and what they print; the positions are this run's.
section '' | sed -n 's/^(hindsight) //p; s/^>//p' >"$work/typed"
section '' | sed '/^(hindsight)\|^>/d; s/^[0-9]*\.[0-9]* /POSITION /' >"$work/wanted"
[ "$(wc -l <"$work/wanted")" -ge 3 ] || fail "the manual shows nothing"
"$HINDSIGHT" debug "$trace" <"$work/typed" 2>&1 | sed '1d; s/^[0-9]*\.[0-9]* /POSITION /' >"$work/out" || fail "typing it"
diff "$work/wanted" "$work/out" || fail "the manual shows another output"

# A pipe's Ctrl-C: the script ends, the session goes on.
printf '%s\n' 'python import os, signal' 'python' 'os.kill(os.getpid(), signal.SIGINT)' 'while True: pass' 'end' \
    'echo still here' | timeout 60 "$HINDSIGHT" debug "$trace" >"$work/out" 2>&1 || fail "interrupted: status $?"
grep -q '^Interrupted\.$' "$work/out" && grep -q '^still here$' "$work/out" || fail "Ctrl-C"

# Another python3 in PATH, and what the environment says, are none of its affair.
mkdir "$work/bin"
printf '#!/bin/sh\nexit 1\n' >"$work/bin/python3"
chmod +x "$work/bin/python3"
echo 'raise SystemError' >"$work/json.py"
cd "$work"
PATH=$work/bin:$PATH PYTHONHOME=/nonexistent PYTHONPATH=$work PYTHONSTARTUP=$work/json.py \
    hindsight debug "$trace" --batch -ex 'python import json, struct; print(json.dumps([1]))'
[ "$status" -eq 0 ] && grep -q '^\[1\]$' "$work/out" || fail "another Python: status $status"

# docs/examples/locks.py over calls that are made up: a lock that is read twice is held until the second
# release, what is not released is told as held, and where the calls end early that is said.
cat >"$work/hindsight.py" <<'PYTHON'
import collections

class error(Exception):
    pass

Position = collections.namedtuple('Position', 'event insn')
Symbol = collections.namedtuple('Symbol', 'name address is_function')
KNOWN = ('_raw_spin_lock', '_raw_spin_unlock', 'down_read', 'up_read')

class Rows(list):
    ended, end = 'interrupted', '900.0'

def row(position, function, time, lock=0x10, process='1 init', duration=0):
    return {'position': position, 'function': function, 'arguments': f'lock={lock:#x}', 'result': None, 'time': time,
            'duration': duration, 'vcpu': 0, 'process': process, 'caller_symbol': 'somebody', 'caller': 1}

def query(question, limit):
    assert question.split() == ['calls', *KNOWN[::2], *KNOWN[1::2]], question
    return Rows([row('1.0', 'down_read', 100), row('2.0', 'down_read', 200), row('3.0', 'up_read', 300),
                 row('4.0', 'up_read', 500), row('5.0', 'up_read', 600),
                 row('6.0', '_raw_spin_lock', 700, 0x20, duration=50), row('7.0', 'down_read', 800)])

def parse_and_eval(text):
    return 50

def lookup_symbol(name):
    return name if name in KNOWN else None

symbol_at = lambda address: Symbol(f'lock{address:x}', address, False)
seek, end, time = lambda where: None, lambda: Position(9, 0), lambda: 1000
PYTHON
PYTHONPATH=$work python3 "$here/../../docs/examples/locks.py" >"$work/out" || fail "locks.py fails"
sed -E 's/ +/ /g' "$work/out" | diff - <(cat <<'TEXT'
 held, ns lock taken by vCPU process position
 400 lock10 somebody 0 1 init 1.0
 100 lock10 somebody 0 1 init 2.0
2 of 4 times that a lock was taken it was held for more than 50 ns; 2 are held at the end, 1 releases of locks that nobody was seen to take.
The end is 900.0: it was interrupted there.
Held at 900.0:
 held, ns lock taken by vCPU process position
 250 lock20 somebody 0 1 init 6.0
 200 lock10 somebody 0 1 init 7.0
TEXT
) || fail "locks.py counts otherwise"

# Programs are not started, whoever asks.
hindsight debug "$trace" --batch -ex 'python import subprocess; subprocess.run("true")'
[ "$status" -eq 1 ] || fail "a program: status $status"
grep -q 'HINDSIGHT_SANITIZE:BOOL=ON' "$BUILD/CMakeCache.txt" || grep -q '^PermissionError' "$work/err" ||
    fail "a program was started"
