#!/usr/bin/env bash
# The package on a bare Debian 12: makes one in a folder (debootstrap), installs the package there as
# apt does, and runs the README's quick start from it. By hand, as root; some five minutes, most of
# them debootstrap's:
#   packaging/bare-debian.sh hindsight_VERSION_amd64.deb [FOLDER]
# A FOLDER that has a Debian already is used again, one that was not given is removed at the end.
set -euo pipefail
package=$(realpath "${1:?usage: bare-debian.sh PACKAGE [FOLDER]}")
bare=${2:-$(mktemp -d /var/tmp/bare-debian-XXXXXX)}

finish()
{
    umount "$bare/proc" 2>/dev/null || true
    [ -n "${2:-}" ] || rm -rf --one-file-system "$bare"
}
trap 'finish "$@"' EXIT

[ -x "$bare/usr/bin/apt-get" ] ||
    debootstrap --variant=minbase bookworm "$bare" "${MIRROR:-http://deb.debian.org/debian}"
cp /etc/resolv.conf "$bare/etc/"
cp "$package" "$bare/tmp/hindsight.deb"
mountpoint -q "$bare/proc" || mount -t proc proc "$bare/proc"
cat >"$bare/tmp/quick-start" <<'BARE'
apt-get update -qq
apt-get install -y -qq --no-install-recommends /tmp/hindsight.deb cpio >/tmp/apt.log 2>&1 || { tail -20 /tmp/apt.log; exit 1; }
cd /tmp
guests=/usr/lib/hindsight/guests
hindsight --version
hindsight doctor
hindsight run --kernel $guests/hello.elf
hindsight record --kernel $guests/clock.elf --serial null -o clock.hst
hindsight replay clock.hst
status=0
until [ $status -eq 85 ]; do
    status=0
    hindsight record --engine soft --append hz=20000 --serial null --kernel $guests/crash.elf -o crash.hst || status=$?
done
hindsight replay crash.hst
hindsight debug crash.hst --batch -ex 'seek end' -ex backtrace
hindsight info crash.hst
hindsight dump crash.hst --from 100 --to 120
hindsight verify crash.hst
/usr/lib/hindsight/scripts/fetch-linux.sh
mkdir -p tree/bin
cp ~/.cache/hindsight/busybox tree/bin/sh
status=0
hindsight record --root tree -o sh.hst -- sh -c 'echo from Linux; exit 3' || status=$?
[ $status -eq 3 ]
hindsight replay sh.hst
/usr/lib/hindsight/scripts/initramfs.sh /tmp/initrd
hindsight record --engine soft --memory 256M --kernel ~/.cache/hindsight/vmlinuz --initrd /tmp/initrd \
    --append 'console=ttyS0 quiet run=poweroff,-f' -o linux.hst
hindsight replay linux.hst
apt-get purge -y -qq hindsight >/dev/null
[ ! -e /usr/lib/hindsight ] && [ ! -e /usr/bin/hindsight ]
echo "the quick start works from the package, and the package goes again"
BARE
chroot "$bare" env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    bash -e /tmp/quick-start </dev/null
