#!/usr/bin/env bash
# A debootstrapped Debian on a RAID 5 array boots to a login prompt, logs root in and shuts down; the
# recording replays identically. Skipped where the image has not been made (scripts/debian-image.sh),
# since that takes minutes and root.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
image=$cache/debian.ext4
[ -f "$image" ] || {
    echo "skipped: no $image"
    exit 77
}
cd "$work"
autorun <<'GUEST'
dd if=/dev/vdb of=/dev/vda bs=1M
sync
poweroff -f
GUEST
"$HINDSIGHT" raid create --level 5 --size 124M a b c >out 2>err || fail "create"
disk=raid=5,file=a,file=b,file=c
hindsight run "${machine[@]}" --pace fast --append console=ttyS0 --disk "$disk" \
    --disk "file=$image,snapshot=on"
[ "$status" -eq 0 ] || fail "copying: status $status"

initramfs
timeout 800 python3 "$here/type_at_debian.py" "$work/console" "$HINDSIGHT" record "${machine[@]}" \
    --append "console=ttyS0 root=/dev/vda" --disk "$disk" -o "$work/t.hst" >out 2>err ||
    fail "typing: status $?"
rm a b c
identical t.hst
echo "Debian on RAID 5: login, work, shutdown; replayed identically"
