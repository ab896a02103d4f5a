#!/usr/bin/env bash
# svm.sh [-o FOLDER] [-f FILE]... BUILD COMMAND: runs a command as root under a Linux kernel with its own
# kvm-amd, in QEMU's TCG, whose CPU has SVM with nested paging. The command finds hindsight in its path, the
# guests in /guests, the FILEs in /x; what it leaves in /out comes to FOLDER. The status is the command's; 77:
# no emulator or no kernel; 124: not ended after LAB_TIMEOUT seconds (600); 125: it ended by itself.
source "$(dirname "$0")/common.bash"
trap 'rm -rf "$work"' EXIT
emulator qemu-system-x86_64 qemu-system-x86
fetch_kernel
# isa-debug-exit makes status 2n + 1 of n.
echo 'printf "\\x$(printf %x $status)" | to_port 0x501' >"$work/end"
initramfs "$work/initrd" irqbypass kvm ccp kvm-amd
status=0
# TCG emulates SMAP at the price of its fast path for loads and stores.
timeout "${LAB_TIMEOUT:-600}" qemu-system-x86_64 -accel tcg -cpu EPYC,-smap -m 1024 -nodefaults -display none \
    -no-reboot -serial stdio -chardev "file,id=sent,path=$work/sent" -device isa-debugcon,iobase=0xe9,chardev=sent \
    -device isa-debug-exit,iobase=0x501,iosize=1 -kernel "$cache/kvm/vmlinuz" -initrd "$work/initrd" \
    -append "$append" </dev/null || status=$?
receive
[ $status -ne 124 ] || exit 124
[ $((status & 1)) -eq 1 ] || exit 125
exit $((status >> 1))
