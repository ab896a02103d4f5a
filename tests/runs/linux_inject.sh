#!/usr/bin/env bash
# Linux in a fork takes an NMI and the SysRq key on its serial console; both replay identical.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
cd "$work"

autorun <<'GUEST'
echo "waiting now"
sleep 2
poweroff -f
GUEST
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"
hindsight debug t.hst --batch -ex 'watch console:"waiting now"' -ex continue -ex when
at=$(sed -n 's/^position \([0-9.]*\) of .*/\1/p' out)
[ -n "$at" ] || fail "the guest does not wait"

hindsight fork t.hst --at "$at" --pace fast --inject nmi --inject sysrq:s --inject sysrq:h -o f.hst
[ "$status" -eq 0 ] || fail "fork: status $status"
grep -q 'NMI received for unknown reason' out || fail "the kernel got no NMI"
grep -q 'sysrq: Emergency Sync' out || fail "the kernel got no SysRq key s"
grep -q 'sysrq: HELP' out || fail "the kernel got no SysRq key h"
identical f.hst
hindsight dump --kind nmi-sent --kind break f.hst
[ "$(grep -c ' break' out)" -eq 2 ] || fail "the breaks in the trace"
[ "$(grep -c ' nmi-sent' out)" -eq 1 ] || fail "the NMI in the trace"
echo "Linux took an NMI and SysRq keys"
