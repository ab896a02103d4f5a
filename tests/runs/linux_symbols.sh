#!/usr/bin/env bash
# The debugger follows the kernel: symbols are found wherever it moved itself, in both kernels of a
# kexec, forward and backward, and breakpoints set before there is any kernel stop in each. Modules
# come and go with the position; files that are not what runs are refused with the reason.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"

build_program kexec "$root/guests/linux/kexec.c" -static
autorun <<'GUEST'
echo "second kernel"
poweroff -f
GUEST
mv initrd second
autorun "$work/kexec:/kexec" "$work/second:/second" "$cache/vmlinuz:/vmlinuz" <<'GUEST'
rmmod virtio_rng
insmod /modules/virtio-rng.ko
rmmod virtio_rng
/kexec /vmlinuz /second console=ttyS0
GUEST
hindsight record "${machine[@]}" --memory 128M --pace fast --append console=ttyS0 -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"
grep -q '^second kernel' out || fail "no second kernel"

debug t.hst 'break start_kernel' 'break machine_kexec' 'info breakpoints' continue continue continue \
    'delete 2' 'continue' 'info breakpoints' 'reverse-continue' 'reverse-continue' 'bt' \
    'reverse-continue' 'info breakpoints'
[ "$status" -eq 0 ] || fail "debugging: status $status"
start_wants
want '^Where the kernel is will be known as soon as it runs'
want '^Breakpoint 1 \(start_kernel\) pending'
want '^Breakpoint 2 \(machine_kexec\) pending'
want '^1 .*<PENDING>'
want '^The kernel of .* runs 0x[0-9a-f]+ from where it was linked'
first=$(sed -n "${line}s/.* runs \(0x[0-9a-f]*\) .*/\1/p" out)
want '^Breakpoint 1, start_kernel'
want '^Breakpoint 2, machine_kexec'
want '^The kernel of .* runs 0x[0-9a-f]+ from where it was linked'
second=$(sed -n "${line}s/.* runs \(0x[0-9a-f]*\) .*/\1/p" out)
want '^Breakpoint 1, start_kernel'
want '^The end of the trace'
want '^1 .*start_kernel'
want 'already hit 2 times'
want '^Breakpoint 1, start_kernel'
want "^The kernel of .* runs $first from where it was linked"
want '^Breakpoint 1, start_kernel'
want '^#0  start_kernel'
want 'secondary_startup_64'
want '^The start of the trace'
want '^1 .*<PENDING>'
[ "$first" != "$second" ] || echo "both kernels moved by the same distance"

# A module that is loaded, unloaded and loaded again: its code's places are hit, and its file is
# there when it is.
debug t.hst 'modules' 'break virtrng_probe' continue 'p probe_common' 'modules' continue continue \
    'info breakpoints' 'modules' 'reverse-continue' 'bt 3'
[ "$status" -eq 0 ] || fail "modules: status $status"
start_wants
want 'Breakpoint 1 \(virtrng_probe\) pending'
want '^Breakpoint 1, virtrng_probe'
want '= .*<probe_common>'
want '^0x[0-9a-f]* +virtio_rng +coming +.*/virtio-rng.ko$'
want '^Breakpoint 1, virtrng_probe'
want '^Breakpoint 1, virtrng_probe'
want 'already hit 3 times'
want '^0x[0-9a-f]* +virtio_rng'
want '^Breakpoint 1, virtrng_probe'
want '^#1 .*virtio_dev_probe'

# What is refused.
printf 'int main(void) { return 0; }\n' >pie.c
build_program pie pie.c -pie
refuses()
{
    debug t.hst 'seek t=1.3s' "${@:2}"
    [ "$status" -eq 1 ] || fail "${*:2}: status $status"
    grep -qF -- "$1" out err || fail "${*:2}: no '$1'"
}
refuses 'give its address' "add-symbol-file $work/pie"
refuses 'nothing is at address 0' "add-symbol-file $work/pie 0"
cc -c -o plain.o pie.c
refuses 'not named as a kernel module' "add-symbol-file $work/plain.o"
cp "$cache/debug/modules/virtio_net.ko" virtio_blk.ko
debug t.hst 'tbreak machine_kexec' continue "add-symbol-file $work/virtio_blk.ko"
grep -q 'its build ID is another one' out || fail "a module's file of another build"
debug t.hst 'seek t=1.3s' 'remove-symbol-file vmlinux' 'info symbol $pc' 'remove-symbol-file vmlinux'
[ "$status" -eq 1 ] || fail "removed twice: status $status"
grep -q 'vmlinux is no longer used' out || fail "remove-symbol-file"
grep -q 'No symbol covers' out || fail "a symbol of a removed file"
# Another kernel: with the names, and other code.
cat >other.S <<'ASSEMBLY'
.globl _text, start_kernel, asm_exc_page_fault, entry_SYSCALL_64
_text:
start_kernel:
asm_exc_page_fault:
entry_SYSCALL_64:
    .rept 65536
    ud2
    .endr
ASSEMBLY
cc -nostdlib -static -Wl,-Ttext=0xffffffff81000000 -o other other.S >out 2>&1 || fail "building a kernel"
hindsight debug t.hst --batch -ex 'seek t=1.3s' -ex "add-symbol-file $work/other"
[ "$status" -eq 1 ] || fail "another kernel: status $status"
grep -q 'not the kernel that runs here' err out || fail "another kernel's file is not refused"
hindsight debug t.hst --batch -ex 'seek t=1.3s' -ex "add-symbol-file $work/other -f" -ex 'info files'
grep -q 'not in memory at this position' out || fail "another kernel's file is used"
echo "the debugger follows kernels and modules"
