#!/usr/bin/env bash
# Builds an initramfs of busybox, the kernel modules that hindsight's devices need, and files given:
#   scripts/initramfs.sh OUTPUT [SOURCE:TARGET]...
# SOURCE is a file of the host, TARGET its absolute path in the guest, as executable as SOURCE is.
# The result depends on the files' contents alone: names in order, fixed times and owners.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
output=${1:?usage: initramfs.sh OUTPUT [SOURCE:TARGET]...}
shift
cache=$("$here/scripts/fetch-linux.sh")
# In the order in which they are loaded.
modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
    virtio-rng failover net_failover virtio_net crc16 crc32c_generic libcrc32c mbcache jbd2 ext4)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt,etc,modules,root}
cp "$cache/busybox" "$root/bin/busybox"
cp "$here/guests/initramfs/init" "$root/init"
chmod 755 "$root/bin/busybox" "$root/init"
for applet in $("$cache/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
: >"$root/modules/list"
for module in "${modules[@]}"; do
    file=$(find "$cache/modules/kernel" -name "$module.ko" | head -n 1)
    # What is not there is built into the kernel.
    if [ -n "$file" ]; then
        cp "$file" "$root/modules/$module.ko"
        echo "$module.ko" >>"$root/modules/list"
    fi
done
for extra in "$@"; do
    mkdir -p "$(dirname "$root/${extra#*:}")"
    cp --preserve=mode "${extra%%:*}" "$root/${extra#*:}"
done
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | "$cache/busybox" cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno 2>/dev/null) >"$output.new"
mv "$output.new" "$output"
