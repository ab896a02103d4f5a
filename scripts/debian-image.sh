#!/usr/bin/env bash
# Makes a small Debian in an ext4 image, in ${HINDSIGHT_CACHE:-~/.cache/hindsight}/debian.ext4, and
# prints its path: debootstrap's minbase with System V init and a login on the serial port, where
# root has no password. Needs root, debootstrap and mke2fs.
set -euo pipefail

cache=${HINDSIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hindsight}
image=$cache/debian.ext4
if [ -f "$image" ]; then
    echo "$image"
    exit 0
fi
PATH=$PATH:/usr/sbin:/sbin
for tool in debootstrap mke2fs; do
    command -v $tool >/dev/null || {
        echo "debian-image: $tool is missing" >&2
        exit 1
    }
done
[ "$(id -u)" -eq 0 ] || {
    echo "debian-image: debootstrap needs root" >&2
    exit 1
}
mkdir -p "$cache"
root=$(mktemp -d "$cache/debian.XXXXXX")
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=sysvinit-core,initscripts,kmod \
    bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
echo hindsight >"$root/etc/hostname"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
echo 'T0:23:respawn:/sbin/agetty -L ttyS0 115200 vt100' >>"$root/etc/inittab"
sed -i '/^[1-6]:.*tty[1-6]$/d' "$root/etc/inittab"
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
truncate -s 240M "$image.new"
mke2fs -q -t ext4 -d "$root" "$image.new"
mv "$image.new" "$image"
echo "$image"
