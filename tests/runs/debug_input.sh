#!/usr/bin/env bash
# Wrong input to the debugger: a message that says what, and the session goes on. Also: every command
# is described in docs/debugger.md, and its own example is understood.
set -euo pipefail
: "${HINDSIGHT:?}" "${GUESTS:?}"
[ -x "$HINDSIGHT" ] || exit 77
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trace=$work/clock.hst

fail()
{
    echo "FAIL: $*" | head -c 1000 >&2
    head -c 3000 "$work/out" >&2
    exit 1
}

timeout 120 "$HINDSIGHT" record --engine soft --pace fast --kernel "$GUESTS/clock.elf" \
    --append 'ticks=20' -o "$trace" >"$work/out" 2>&1 </dev/null || fail "recording: $?"

# The session reads commands from its input; each answer is checked, and the next command works.
says()
{
    local pattern=$1
    shift
    printf '%s\n' "$@" 'echo still here' |
        timeout 120 "$HINDSIGHT" debug "$trace" >"$work/out" 2>&1 || fail "$*: status $?"
    grep -qE -- "$pattern" "$work/out" || fail "$*: no '$pattern'"
    grep -q '^still here' "$work/out" || fail "$*: the session ended"
}

# refuses STATUS PATTERN ARGUMENT...: the command line is refused.
refuses()
{
    local wanted=$1 pattern=$2 status=0
    shift 2
    timeout 120 "$HINDSIGHT" "$@" >"$work/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    grep -qE -- "$pattern" "$work/out" || fail "$*: no '$pattern'"
}

says "'contineu' is not a command; did you mean continue" 'contineu'
says "'xyzzy' is not a command" 'xyzzy'
says "'d.*' could be|Deletes|No breakpoints" 'info breakpoints'
says "'re' could be reverse-" 're'
says 'no symbol .nothing. here' 'print nothing'
says 'not mapped' 'seek 50%' 'print *(int *)0xffff800000000000'
says 'not mapped' 'seek 50%' 'x/4gx 0xffff800000000000'
says 'not mapped' 'seek 50%' 'pagetable 0xffff800000000000'
says 'is not mapped here' 'seek 50%' 'last-write *0xffff800000000000'
says 'cannot be watched|not mapped here' 'seek 50%' 'watch *(long *)0xffff800000000000'
says 'no register|no register or convenience' 'print $zzz'
says "no function 'nothing'" 'break nothing'
says 'no code for line 99999' 'break clock.c:99999'
says 'is not a position' 'seek yesterday'
says 'past the end of the trace' 'seek 99999999999'
says 'no breakpoint number 7' 'delete 7'
says 'not one of|is not a format' 'print/q 1'
says 'division by zero' 'print 1/0'
says 'is not understood|operand is missing' 'print 1 +'
says 'nested too deeply' "print $(printf '(%.0s' $(seq 500))1"
says 'no member' 'print $rax.foo' 'print ((struct nothing *)0)->x' 'ptype struct interrupt_frame' \
    'print ((struct interrupt_frame *)$rsp)->nothing'
says 'void pointer cannot be followed' 'print *(void *)0'
says 'the past cannot be changed' 'set var ticks = 1'
says 'the past cannot be changed' 'set $rax = 1'
says 'no frame 99|there is no frame' 'frame 99'
says 'no caller' 'finish'
says 'vectors 0 to 31' 'catch exception 77'
says 'The condition of breakpoint 1 cannot be told: no symbol' 'break guest_main if nothing == 1' 'continue'
says 'machine has no disk' 'watch sector:12'
says 'machine has no disk' 'last-write sector:12'
says 'No such file' 'source /nonexistent/file'
echo "source $work/self" >"$work/self"
says 'too deeply' "source $work/self"
says 'has no disk' 'disk'
says 'no device' 'devices flux-capacitor'
says 'hexadecimal byte' 'find zz'
says 'or -ever may follow' 'find 00 11 -never'
says 'is not mapped here' 'seek 50%' 'origin *0xffff800000000000'
says 'is not RAM' 'origin phys:0xfee00000,4'
says 'give a variable, a register' 'origin'
says 'there is no #3' 'origin #3'
says 'no symbol .nothing. here' 'origin nothing'
says 'ends before line|cannot be read' 'list clock.c:1' 'directory /nonexistent' 'list' 'list' 'list' 'list' \
    'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list' 'list'
long=$(printf 'a%.0s' $(seq 5000))
says 'more than 4095 characters' "print $long"

# Another file than what runs is told by its content; garbage by its format.
says 'not what runs in this trace' 'seek 50%' "add-symbol-file $GUESTS/crash.elf"
says 'No such file' 'add-symbol-file /nonexistent/vmlinux'
head -c 3000 "$GUESTS/clock.elf" | tail -c 2900 >"$work/garbage"
says 'neither ELF nor lines' "add-symbol-file $work/garbage"
head -c 3000 "$GUESTS/clock.elf" >"$work/cut.elf"
says 'echo' "add-symbol-file $work/cut.elf -f" 'echo echo' 'break *0x100000' 'print 1'
printf '0000000000100000 T made_up\n' >"$work/System.map"
says '1 symbols from' "add-symbol-file $work/System.map" 'info symbol 0x100004'
grep -q 'made_up+4' "$work/out" || fail "System.map"

# Without symbols, the rest works.
if command -v objcopy >/dev/null; then
    objcopy --strip-all "$GUESTS/hello.elf" "$work/bare.elf"
    timeout 120 "$HINDSIGHT" record --engine soft --pace fast --kernel "$work/bare.elf" \
        -o "$work/bare.hst" >"$work/out" 2>&1 </dev/null || fail "recording: $?"
    old=$trace trace=$work/bare.hst
    says 'no symbols are loaded' 'print free_list' 'break guest_main' 'continue'
    says '=> 0x10' 'stepi 5' 'x/i $pc' 'backtrace' 'reverse-stepi' 'next' 'step'
    says 'symbols from' "add-symbol-file $GUESTS/hello.elf" 'break guest_main' 'continue'
    grep -q 'Breakpoint 1, guest_main' "$work/out" || fail "symbols added"
    trace=$old
fi

# A trace that ends early, one that is damaged, one that is none.
size=$(stat -c %s "$trace")
head -c $((size - 700)) "$trace" >"$work/cut.hst"
old=$trace trace=$work/cut.hst
says 'cut off|The end of the trace|damaged' 'seek end' 'when' 'reverse-stepi'
trace=$old
refuses 4 'hindsight: ' debug "$work/garbage" --batch
refuses 1 'No such file' debug /nonexistent.hst --batch
refuses 2 'give one trace' debug
refuses 2 'bad option' debug --frobnicate "$trace"
refuses 2 'cache' debug --cache lots "$trace"
refuses 1 'no symbol' debug "$trace" --batch -ex 'print nothing' -ex 'echo not reached'
! grep -q 'not reached' "$work/out" || fail "--batch goes on after a failure"
refuses 0 '^7$' debug "$trace" --batch -ex 'set $a = 3' -ex 'echo 7'
refuses 1 'listen' gdb "$trace" --listen nowhere
refuses 1 'too long' gdb "$trace" --listen "unix:/$long"
refuses 2 'give one trace' gdb

# What was saved comes back.
says 'Saved' 'break interrupt_dispatch if frame->vector == 32' 'commands' 'print 42' 'end' 'seek 50%' \
    'display $rsp' 'bookmark half' "save $work/session"
says 'half +[0-9]' "source $work/session" 'info breakpoints' 'bookmark'
grep -q 'stop only if frame->vector == 32' "$work/out" || fail "a condition was not saved"

# The commands and their documentation.
"$HINDSIGHT" debug "$trace" --batch -ex help >"$work/help"
names=$(sed -n 's/^  \([a-z][a-z-]*\).*/\1/p' "$work/help")
[ "$(wc -w <<<"$names")" -ge 60 ] || fail "help lists too little"
cd "$work" # one example writes a file
for name in $names; do
    grep -qx "### $name" "$here/../../docs/debugger.md" || fail "docs/debugger.md has no '### $name'"
    "$HINDSIGHT" debug "$trace" --batch -ex "help $name" >"$work/out" || fail "help $name"
    example=$(sed -n 's/^Example: //p' "$work/out")
    [ -n "$example" ] || fail "help $name: no example"
    # It must be understood; what it names need not exist in this guest.
    printf '%s\n' 'break guest_main' "$example" | timeout 120 "$HINDSIGHT" debug "$trace" >"$work/out" 2>&1 ||
        fail "$example"
    if grep -q 'is not a command\|could be' "$work/out"; then
        fail "the example of $name: $example"
    fi
done
echo "debug_input: ok"
