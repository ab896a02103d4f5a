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

# Programs are not started, whoever asks.
hindsight debug "$trace" --batch -ex 'python import subprocess; subprocess.run("true")'
[ "$status" -eq 1 ] || fail "a program: status $status"
grep -q 'HINDSIGHT_SANITIZE:BOOL=ON' "$BUILD/CMakeCache.txt" || grep -q '^PermissionError' "$work/err" ||
    fail "a program was started"
