#!/usr/bin/env bash
# Two processes run the same position-independent program: breakpoints and watchpoints of one stop
# only there, and its frames are below the kernel's. Maps, open files and the build ID are those of
# the position. Per-CPU variables are found by GS base.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"

build_program count "$root/guests/linux/count.c" -static-pie
build_program other "$root/guests/linux/count.c" -static-pie -DOTHER -O1
cp count one
cp count two
autorun "$work/one:/one" "$work/two:/two" <<'GUEST'
/one 1 &
usleep 10000
/two 1000 2>/tmp/out &
wait
poweroff -f
GUEST
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"

debug t.hst "add-symbol-file $work/count -process two" 'break tick' continue 'print step' 'print counter' \
    'info processes' 'info maps' 'info files .' 'info maps one' 'watch counter' 'delete 1' continue \
    continue 'print counter' 'backtrace' 'reverse-continue' 'print counter' 'delete' 'tbreak ksys_write' \
    continue 'backtrace' 'print counter' 'up' 'print runqueues.nr_running == $percpu(runqueues, 0).nr_running' \
    'print $percpu(runqueues).nr_running > 0' 'print current_task == $percpu(current_task)' \
    'print $percpu(runqueues, 1)'
[ "$status" -eq 1 ] || fail "debugging: status $status"
start_wants
want 'No process two runs this file here'
want '^Breakpoint 1 \(tick\) pending'
want '^Breakpoint 1, tick \(step=1000\)'
want '= 1000$'
want '= 0$'
want '^ +[0-9]+ .* one '
want '^\* +[0-9]+ .* two '
want '^process [0-9]+, two'
want ' r-xp  /two$'
want '^process [0-9]+, two'
want '^ +2  /tmp/out$'
want '^process [0-9]+, one'
want ' r-xp  /one$'
want '^Watchpoint 2: counter'
want '^Old value = 0'
want '^New value = 1000'
want '^Old value = 1000'
want '^New value = 2000'
want '= 2000$'
want '^#1 .*main'
want '^Old value = 2000'
want '^New value = 1000'
want '= 1000$'
want '^Temporary breakpoint 3, ksys_write'
want '^#0 +ksys_write'
want 'entry_SYSCALL_64'
want '<system call made here>'
want 'write'
want 'main \(argc='
want '= 1$'
want '= 1$'
want '= 1$'
grep -q 'no CPU 1: this kernel has 1' err || fail "a CPU that is not there"

# By number; and a file of another build.
pid=$(sed -n 's/^process \([0-9]*\), one$/\1/p' out | head -n 1)
debug t.hst 'tbreak panic' "add-symbol-file $work/count -process one" 'break tick' continue \
    "add-symbol-file $work/other -process $pid"
[ "$status" -eq 1 ] || fail "another build: status $status"
grep -q '^Breakpoint 2, tick (step=1)' out || fail "a breakpoint of process one"
grep -q "not what process $pid, one, runs: another build" err || fail "another build is not refused"
echo "breakpoints, maps and frames of processes"

# The report names them and their system calls, as query does.
hindsight report t.hst --symbols "$vmlinux"
[ "$status" -eq 0 ] || fail "report: status $status"
python3 - t.html <<'PYTHON' || fail "the report lacks tasks or system calls"
import json
import re

page = open("t.html", encoding="ascii").read()
data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S).group(1))
ran = {row["to"].split(" ", 1)[1] for row in data["switches"]["rows"]}
assert {"one", "two"} <= ran, ran
calls = {(row["process"].split(" ", 1)[1], row["syscall"]) for row in data["syscalls"]["rows"]}
assert ("two", "write") in calls and ("init", "execve") in calls, calls
PYTHON
hindsight report t.hst -o u.html --symbols "$work/none"
[ "$status" -eq 1 ] && [ ! -e u.html ] || fail "a report with symbols that are not there: status $status"
echo "the report shows processes and system calls"
