#!/usr/bin/env bash
# guest-init in an initramfs of one's own: the guest has the status of what it ran; where the kernel
# lets nobody write to ports, success switches the machine off and failure is a panic.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
cd "$work"
mkdir tree
cp "$GUESTS/guest-init" tree/init
cp "$cache/busybox" tree/sh
(cd tree && find . | "$cache/busybox" cpio -o -H newc 2>/dev/null) >initrd

# ended STATUS APPEND [OPTION]...
ended()
{
    local wanted=$1 append=$2
    shift 2
    hindsight run "${machine[@]}" --pace fast --append "console=ttyS0 quiet $append" "$@"
    [ "$status" -eq "$wanted" ] || fail "$append: status $status, not $wanted"
}

ended 7 '-- /sh -c exit${IFS}7' --plain-status
ended 15 '-- /sh -c exit${IFS}7'
ended 0 'lockdown=integrity -- /sh -c exit' --plain-status
ended 100 'lockdown=integrity -- /sh -c exit${IFS}3' --plain-status
grep -q 'Attempted to kill init! exitcode=0x00000300' err || fail "a panic without the status"
ended 127 '-- /none' --plain-status
grep -q '^guest-init: /none: no such command' out || fail "nothing is said of a missing command"
echo "a guest without any program but one has its status"
