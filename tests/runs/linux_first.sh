#!/usr/bin/env bash
# The first things that somebody types who knows gdb (break, bt, info locals, p *ptr, finish, watch and
# reverse-continue) in a program, in the kernel and in a module of it: hindsight's own debugger says what
# gdb says to the same commands on the same run.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
command -v gdb >/dev/null && command -v python3 >/dev/null || exit 77
cd "$work"

build_module jobq
build_program load "$root/guests/linux/jobq/load.c" -static
build_program first "$root/guests/linux/first.c" -static -Og
autorun "$work/jobq/jobq.ko:/jobq.ko" "$work/load:/load" "$work/first:/first" <<'GUEST'
insmod /jobq.ko
[ -e /dev/jobq ] || mknod /dev/jobq c 10 $(sed -n 's/ jobq$//p' /proc/misc)
/first
sleep 1
/load 20
poweroff -f
GUEST
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 --max-time 20 --seed 7 -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"

# ask CODE KIND COMMAND...: for both debuggers, with a title before what is answered. The last
# command's answer counts, or that of all where they stop.
ask()
{
    local title="$1: $2" command
    shift 2
    echo "echo == $title" >>ours
    echo "echo == $title\\n" >>theirs
    printf '%s\n' "$@" | tee -a ours >>theirs
}
: >ours
: >theirs
ask user break 'tbreak main' continue
ask user bt bt
ask user 'info locals' 'info locals'
ask user break 'tbreak add_item' continue
ask user bt bt
ask user 'info locals' 'info locals'
ask user 'p *ptr' 'p *item'
ask user finish finish
ask user watch 'watch first_total' continue
ask user rc rc
ask user watch delete 'watch first_total' continue continue
ask kernel break delete 'tbreak vfs_write' continue
ask kernel bt bt
ask kernel 'info locals' 'info locals'
ask kernel 'p *ptr' 'p *file->f_path.mnt'
ask kernel finish finish
ask kernel watch 'watch jiffies_64' continue
ask kernel rc rc
ask module break delete 'tbreak job_done' continue
ask module bt 'bt 3'
ask module 'info locals' 'info locals'
ask module 'p *ptr' 'p *job'
ask module break 'tbreak jobq_write' continue
ask module bt 'bt 3'
ask module finish finish
ask module watch 'watch next_id' continue
ask module rc rc

# Both begin just before the program's main, when the module is loaded; gdb's files of symbols are placed
# by the lines that the stub prints.
before=("modules $work/jobq" "add-symbol-file $work/first -process first" 'tbreak main' continue
    'reverse-stepi 2000')
debug t.hst "${before[@]}" "source ours"
[ "$status" -eq 0 ] || fail "debugging: status $status"
mv out said_ours
options=()
for command in "add-symbol-file $vmlinux" "${before[@]}"; do
    options+=(-ex "$command")
done
"$HINDSIGHT" gdb t.hst --listen "unix:$work/socket" "${options[@]}" >server 2>&1 &
children+=($!)
for _ in $(seq 600); do
    [ -S socket ] && break
    sleep 0.2
done
cat >lines <<GDB
set remotetimeout 300
target remote $work/socket
monitor modules -gdb
GDB
timeout 300 gdb -nx -batch -x lines >out 2>&1 || fail "monitor modules -gdb"
grep -q '^# The kernel runs 0x' out || fail "monitor does not tell the slide"
grep -E '^add-symbol-file .*(vmlinux|/jobq.ko) ' out >symbols || fail "no lines for gdb"
{
    printf '%s\n' 'set pagination off' 'set confirm off' 'set remotetimeout 300' 'set width 0' \
        'set backtrace limit 12' 'set architecture i386:x86-64'
    cat symbols
    cat <<GDB
add-symbol-file $work/first
target remote $work/socket
GDB
    cat theirs
    cat <<'GDB'
echo == end: break\n
monitor tasks on
info threads
python gdb.execute("thread " + str([t.num for t in gdb.selected_inferior().threads() if t.ptid[1] == 0x10001][0]))
bt 3
set $linear = (unsigned long)init_task.tasks.next
set $physical = $linear - page_offset_base
printf "linear %lx\n", *(unsigned long *)$linear
maintenance packet Qqemu.PhyMemMode:1
maintenance flush dcache
printf "physical %lx\n", *(unsigned long *)$physical
kill
GDB
} >commands
timeout 800 gdb -nx -batch -x commands >said_theirs 2>&1 || { tail -n 40 said_theirs >err; fail "gdb"; }
python3 "$here/compare_first.py" said_ours said_theirs >out 2>err || {
    cp out table
    { grep -A60 DIFFERS table || true; } >out
    fail "not as in gdb"
}
cat out
grep -qE 'init \(task 1\)' said_theirs || fail "no task of init among the threads"
grep -qE 'vCPU 0, running load \(task [0-9]+\)' said_theirs || fail "the task of the vCPU is not told"
sed -n '/^== end/,$p' said_theirs >out
grep -qE '^#0 .* in (context_switch|__schedule|__switch_to)' out || fail "init does not stand in the scheduler"
grep -qE '^#[12] .* schedule' out || fail "init's frames"
[ -n "$(sed -n 's/^linear //p' out)" ] || fail "no memory by its linear address"
[ "$(sed -n 's/^linear //p' out)" = "$(sed -n 's/^physical //p' out)" ] || fail "physical memory"
echo "the first commands: as in gdb"
