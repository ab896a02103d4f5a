#!/usr/bin/env bash
# vCPUs as threads, in the debugger and in stock gdb: listed, selected, stepped by themselves both
# ways, breakpoints of one of them, and the list of turns.
source "$(dirname "$0")/common.bash"

hindsight record --engine soft --pace fast --cpus 3 --kernel "$GUESTS/smp.elf" -o "$work/smp.hst"
[ "$status" -eq 0 ] || fail "recording: status $status"

# want PATTERN: the next line that matches after the one before.
line=0
want()
{
    local found
    found=$(tail -n +$((line + 1)) "$work/out" | grep -nE -m1 -- "$1" | cut -d: -f1) || true
    [ -n "$found" ] || fail "no '$1' after line $line"
    line=$((line + found))
}

hindsight debug "$work/smp.hst" --batch -ex 'info threads' -ex 'break on_call thread 3' -ex continue \
    -ex 'info threads' -ex 'thread 1' -ex backtrace -ex 'print $rip' -ex stepi -ex thread \
    -ex reverse-stepi -ex 'print $rip' -ex 'set scheduler-locking off' -ex 'turns start 3'
want '^\* 1 +vCPU 0, running'
want '^  2 +vCPU 1, not started'
want '^Thread 3 "vCPU 2" hit Breakpoint 1, on_call'
want '^  1 +vCPU 0 '
want '^\* 3 +vCPU 2, running +0x[0-9a-f]+ <on_call'
want 'Switching to thread 1 \(vCPU 0\)'
want '^#[0-9].*guest_main'
want '^\$1 = '
first=$(sed -n "${line}p" "$work/out" | sed 's/.* = //')
want 'Current thread is 1 '
want '^\$2 = '
[ "$first" = "$(sed -n "${line}p" "$work/out" | sed 's/.* = //')" ] || fail "a step and back leads elsewhere"
want '^ +[0-9]+ turn to vCPU 1'
for wrong in 'thread 4' 'thread 0' 'break on_call thread 9'; do
    hindsight debug "$work/smp.hst" --batch -ex "$wrong"
    grep -q 'there is no thread' "$work/err" "$work/out" || fail "$wrong is not refused"
done
hindsight debug "$work/smp.hst" --batch -ex 'thread 2'
grep -q 'has not been started' "$work/err" "$work/out" || fail "a vCPU that is not started is shown"
echo "the debugger lists, selects and steps vCPUs"

command -v gdb >/dev/null || exit 0
"$HINDSIGHT" gdb "$work/smp.hst" --listen "unix:$work/socket" >"$work/server" 2>&1 &
children+=($!)
wait_for test -S "$work/socket"
line=0
timeout 120 gdb -nx -batch -ex 'set confirm off' -ex "file $GUESTS/smp.elf" \
    -ex "target remote $work/socket" -ex 'info threads' -ex 'break on_call' -ex continue \
    -ex 'info threads' -ex 'thread 1' -ex 'print $pc' -ex stepi -ex reverse-stepi -ex 'print $pc' \
    >"$work/out" 2>&1 </dev/null || fail "gdb: $?"
want '^\* 1 +Thread 1 \(vCPU 0, running\)'
want '^  2 +Thread 2 \(vCPU 1, not started\)'
want '^Thread 2 hit Breakpoint 1, on_call'
want '^  1 +Thread 1 \(vCPU 0\)'
want '^\* 2 +Thread 2 \(vCPU 1, running\)'
want '^\$1 = '
first=$(sed -n "${line}p" "$work/out" | sed 's/.* = //')
want '^\$2 = '
[ "$first" = "$(sed -n "${line}p" "$work/out" | sed 's/.* = //')" ] || fail "gdb: a step and back leads elsewhere"
echo "gdb sees vCPUs as threads"
