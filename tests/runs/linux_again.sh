#!/usr/bin/env bash
# A kernel that starts again and again in one run, after reboot and after a panic with panic=1, each
# time elsewhere: breakpoints by name stop in every one of them, forward and backward, and symbols are
# those of the kernel that is there.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"

autorun <<'GUEST'
case $(head -c 1 /dev/vda | tr -d '\0') in
'') printf r >/dev/vda; sync; reboot -f ;;
r) printf p >/dev/vda; sync; echo c >/proc/sysrq-trigger ;;
*) poweroff -f ;;
esac
GUEST
truncate -s 1M disk
hindsight record "${machine[@]}" --pace fast --append 'console=ttyS0 panic=1' --panic-exit off \
    --disk file=disk -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"
[ "$(grep -c 'Linux version' out)" -eq 3 ] || fail "not three boots"
grep -q 'sysrq triggered crash' out || fail "no panic"

commands=('break start_kernel' 'break panic' 'info breakpoints')
for _ in 1 2 3 4 5; do
    commands+=('continue' 'print/x (long)&start_kernel')
done
for _ in 1 2 3 4 5; do
    commands+=('reverse-continue' 'print/x (long)&start_kernel')
done
debug t.hst "${commands[@]}"
[ "$status" -eq 1 ] || fail "debugging: status $status"
grep -q "'start_kernel' here" err || fail "a name of a kernel that does not run is known"
start_wants
want '^1 .*<PENDING>'
want '^Breakpoint 1, start_kernel'
want '= 0x'
first=$(sed -n "${line}s/.*= //p" out)
want '^Breakpoint 1, start_kernel'
want '= 0x'
second=$(sed -n "${line}s/.*= //p" out)
want '^Breakpoint 2, panic \(fmt='
want "= $second\$"
want '^Breakpoint 1, start_kernel'
want '= 0x'
third=$(sed -n "${line}s/.*= //p" out)
want '^The end of the trace'
want "= $third\$"
want '^Breakpoint 1, start_kernel'
want "= $third\$"
want '^Breakpoint 2, panic'
want "= $second\$"
want '^Breakpoint 1, start_kernel'
want "= $second\$"
want '^Breakpoint 1, start_kernel'
want "= $first\$"
want '^The start of the trace'
[ "$first$second" != "$second$third" ] || echo "all kernels moved by the same distance"
echo "breakpoints in every kernel: $first, $second, $third"
