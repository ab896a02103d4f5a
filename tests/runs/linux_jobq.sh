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

# Where it crashes differs: in the allocator or where the list is walked. Wanted is the first.
record_crash()
{
    hindsight record "${machine[@]}" --pace fast --append 'console=ttyS0 oops=panic' --max-time 20s \
        -o t.hst
    grep -q 'RIP: 0010:__kmem_cache_alloc_node' out && grep -q 'general protection fault' out
}
for attempt in 1 2 3 4 5 6 7 8; do
    record_crash && break
    [ "$attempt" -lt 8 ] || fail "no crash in the allocator in 8 runs"
done

# hunt COMMAND...: from the fault to the write that broke the free list.
hunt()
{
    debug t.hst "modules $work/jobq" "add-symbol-file $work/load -process load" 'seek end' \
        'reverse-stepi' 'catch exception 13' 'reverse-continue' 'delete' 'backtrace' \
        'frame function __kmem_cache_alloc_node' 'last-write $percpu(*s->cpu_slab).freelist' \
        'set $object = (long)object' 'set $slot = (long)object + s->offset' \
        'print/x $object' 'last-write *(long *)$slot' 'backtrace' "$@"
}
hunt 'break kfree if $rdi == $object' 'reverse-continue' 'backtrace' 'reverse-continue' 'backtrace' \
    'reverse-continue' 'backtrace' 'reverse-continue' 'backtrace'
[ "$status" -eq 0 ] || fail "hunting: status $status"
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
# Freed twice with nothing but what uses it in between: by the worker, and by the timer in an
# interrupt.
grep -q '^#[0-9]* .*worker_fn (work=' out || fail "the worker's free"
start_wants
want '^#0 +kfree \(object='
want '^#[0-9]+ .*reaper_fn \(t='
want '^#[0-9]+ .*run_timer_softirq'
want '^#[0-9]+ .*asm_sysvec_apic_timer_interrupt'
want '<interrupt or exception taken here>'
want '^#[0-9]+ '
echo "hunted down in hindsight's own debugger"
