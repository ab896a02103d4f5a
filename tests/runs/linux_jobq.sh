#!/usr/bin/env bash
# A use-after-free in a kernel module, hunted from the record to the double free: a timer expires jobs
# that a worker still uses (guests/linux/jobq). The kernel panics in the allocator, on a free list
# that somebody's data has overwritten. Backwards from there: who popped the broken pointer, who wrote
# it, who had freed the object, and who had freed it before that. Symbols of kernel, module and program
# are found by themselves; the last backtrace shows what the timer's interrupt interrupted. The same
# with stock gdb.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"

build_module jobq
build_program load "$root/guests/linux/jobq/load.c" -static
autorun "$work/jobq/jobq.ko:/jobq.ko" "$work/load:/load" <<'GUEST'
insmod /jobq.ko
[ -e /dev/jobq ] || mknod /dev/jobq c 10 $(sed -n 's/ jobq$//p' /proc/misc)
/load 20000
poweroff -f
GUEST

# In the allocator, not where the list of jobs is walked, and with no other fault while it panics.
record_crash()
{
    hindsight record "${machine[@]}" --pace fast --append 'console=ttyS0 oops=panic' --max-time 20s \
        -o t.hst
    grep -q 'RIP: 0010:__kmem_cache_alloc_node' out && grep -q 'general protection fault' out &&
        ! grep -q 'invalid opcode' out
}
# hunt COMMAND...: from the fault to the write that broke the free list.
hunt()
{
    debug t.hst "modules $work/jobq" "add-symbol-file $work/load -process load" 'seek end' \
        'reverse-stepi' 'catch exception 13' 'reverse-continue' 'delete' 'backtrace' \
        'frame function __kmem_cache_alloc_node' 'last-write $percpu(*s->cpu_slab).freelist' \
        'set $object = (long)object' 'set $slot = (long)object + s->offset' \
        'print/x $object' 'last-write *(long *)$slot' 'backtrace' "$@"
}
# Two frees of one object with nothing but what uses it in between: by the worker, and by the timer.
hunt_frees()
{
    hunt 'break kfree if $rdi == $object' 'reverse-continue' 'backtrace' 'reverse-continue' \
        'backtrace' 'reverse-continue' 'backtrace' 'reverse-continue' 'backtrace'
    [ "$status" -eq 0 ] && grep -q '^#[0-9]* .*reaper_fn (t=' out &&
        grep -q '^#[0-9]* .*worker_fn (work=' out
}
# Two planted bugs race with the timer: another crash, or another victim, is another hunt.
for attempt in $(seq 12); do
    record_crash && hunt_frees && break
    [ "$attempt" -lt 12 ] || fail "no crash by the timer's free in 12 runs"
done
start_wants
want '^Catchpoint 1, exception 13'
want '^#0 .*(freelist_ptr|get_freepointer)'
want '^#[0-9]+ +__kmem_cache_alloc_node \(s='
want '^#[0-9]+ .*jobq_write \(file='
want '<system call made here>'
want '^#[0-9]+ +submit \(i=|^#[0-9]+ .*submit \(i='
want '^#[0-9]+ .*main \(argc='
want '^About to be written at .* by:'
want 'slab_alloc_node'
want '^About to be written at .* by:'
want '^#0 '
want '^Breakpoint 2, kfree'
want '^#0 +kfree \(object='
want 'job_put \(job='
# The timer's was in an interrupt.
start_wants
want '^#0 +kfree \(object='
want '^#[0-9]+ .*reaper_fn \(t='
want '^#[0-9]+ .*run_timer_softirq'
want '^#[0-9]+ .*asm_sysvec_apic_timer_interrupt'
want '<interrupt or exception taken here>'
want '^#[0-9]+ '
echo "hunted down in hindsight's own debugger"

# The same at once: the object's life has both frees, with who made them.
object=$(sed -n 's/^\$[0-9]* = \(0xffff[0-9a-f]*\)$/\1/p' out | head -n 1)
cp out hunted
debug t.hst "modules $work/jobq" "allocs $object" 'query -from 90% syscalls write' \
    'query -from 90% switches' 'query -from 90% faults' \
    'query -limit 1 calls kmem_cache_alloc'
[ "$status" -eq 0 ] || fail "allocs $object: status $status"
start_wants
want 'allocated +0x.* jobq_write < '
want 'freed +0x.* kfree < .*(reaper_fn < |worker_fn < )'
want 'freed again +0x.* kfree < .*(reaper_fn < |worker_fn < )'
grep -q ' freed .*reaper_fn' out || fail "allocs: the timer's free"
grep -q ' freed .*worker_fn' out || fail "allocs: the worker's free"
want '^[0-9]+ rows\. Looked at 0\.0 to '
want '^[0-9.]+ +[0-9.]+ +0 +[0-9]+ load +write +[0-9]+, 0x[0-9a-f]+, (48|176) +(48|176) +0\.[0-9]{9} '
want '^[0-9.]+ +[0-9.]+ +0 +[0-9]+ load +[0-9]+ kworker'
want '^[0-9.]+ +[0-9.]+ +0 +[0-9]+ .* general protection +13 +0x0 +0x[0-9a-f]+ <'
# The decompressor runs before the kernel of that file is anywhere.
want ' kmem_cache_alloc +s=0xffff[0-9a-f]+, gfpflags=[0-9]+ '
want "^The code of 'kmem_cache_alloc' is in memory from [0-9]+\.[0-9]+ on\."
echo "allocs names both frees"
LIMIT=600 hindsight query t.hst --json --symbols "$vmlinux" -ex "modules $work/jobq" "allocs $object"
[ "$status" -eq 0 ] || fail "allocs, JSON: status $status"
python3 -c 'import json, sys
kinds = [row["kind"] for row in json.load(open(sys.argv[1]))["rows"]]
sys.exit("freed again" not in kinds)' out || fail "allocs, JSON"
cp hunted out

# With stock gdb: its symbol files by the lines that the stub prints, its own watchpoints, breakpoints,
# frames and reverse execution. What only the kernel's tables can unwind, 'monitor backtrace' shows.
command -v gdb >/dev/null || exit 0
object=$(sed -n 's/^\$[0-9]* = \(0xffff[0-9a-f]*\)$/\1/p' out | head -n 1)
debug t.hst "modules $work/jobq" 'seek end' 'modules -gdb'
grep '^add-symbol-file' out >symbols
"$HINDSIGHT" gdb t.hst --listen "unix:$work/socket" -ex "add-symbol-file $vmlinux" \
    -ex "modules $work/jobq" -ex 'seek end' >server 2>&1 &
children+=($!)
wait_for [ -S "$work/socket" ]
{
    printf '%s\n' 'set pagination off' 'set confirm off' 'set remotetimeout 300' 'set backtrace limit 12' \
        'set architecture i386:x86-64'
    cat symbols
    cat <<GDB
target remote $work/socket
reverse-stepi
echo undone\n
break panic
reverse-continue
backtrace
delete
set \$object = $object
watch *(long *)(\$object + 64)
reverse-continue
reverse-continue
backtrace
delete
break kfree if object == \$object
reverse-continue
backtrace
reverse-continue
backtrace
set \$stops = 0
while \$stops < 6
  monitor backtrace
  reverse-continue
  set \$stops = \$stops + 1
end
kill
GDB
} >commands
timeout 500 gdb -nx -batch -x commands >transcript 2>&1 || { tail -n 60 transcript >err; fail "gdb"; }
# Without the list of the sections, which is long.
grep -v '_addr = ' transcript >out
start_wants
want '^undone'
want 'Breakpoint 1, panic'
want '^#[0-9]+ .*exc_general_protection'
want '^Hardware watchpoint 2|^Watchpoint 2'
want 'jobq_write|job_put'
want 'Breakpoint 3, kfree'
want 'job_put'
want 'Breakpoint 3, kfree'
grep -q 'worker_fn (work=' out || fail "gdb: the worker's free"
grep -q 'reaper_fn (t=' out || fail "gdb: the timer's free"
grep -q '<interrupt or exception taken here>' out || fail "gdb: what was interrupted"
echo "hunted down in gdb"
