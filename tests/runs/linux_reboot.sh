#!/usr/bin/env bash
# reboot starts the kernel again with the disk as it was left, in one recording that replays
# identically; with --no-reboot it ends the run.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
cd "$work"

autorun <<'GUEST'
if mount -t ext4 /dev/vda /mnt 2>/dev/null && [ -f /mnt/again ]; then
    echo "second boot"
    umount /mnt
    poweroff -f
fi
mke2fs -F /dev/vda >/dev/null 2>&1
mount -t ext4 /dev/vda /mnt
echo "first boot" | tee /mnt/again
umount /mnt
reboot -f
GUEST
truncate -s 16M disk
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o t.hst --disk file=disk
[ "$status" -eq 0 ] || fail "status $status"
[ "$(grep -c '^first boot' out)" -eq 1 ] || fail "not one first boot"
[ "$(grep -c '^second boot' out)" -eq 1 ] || fail "not one second boot"
[ "$(grep -c '0.000000. Linux version' out)" -eq 2 ] || fail "the kernel did not start twice"
identical t.hst
truncate -s 0 disk
truncate -s 16M disk
hindsight run "${machine[@]}" --pace fast --append console=ttyS0 --no-reboot --disk file=disk
[ "$status" -eq 0 ] || fail "--no-reboot: status $status"
grep -q 'machine restart' out || fail "--no-reboot: the guest did not ask for a reset"
[ "$(grep -c '0.000000. Linux version' out)" -eq 1 ] || fail "--no-reboot: the kernel started again"
echo "reboot resets, --no-reboot ends the run"
