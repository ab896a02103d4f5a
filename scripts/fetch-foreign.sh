#!/usr/bin/env bash
# Fetches kernels of others as Debian packages and unpacks into
# ${HINDSIGHT_CACHE:-~/.cache/hindsight}/foreign what tests/runs/foreign.sh starts:
#   vmlinuz, vmlinux    32-bit Linux (686-pae): as packaged, and its ELF file for PVH
#   busybox             for it, static
#   xen, memtest        the hypervisor; memtest86+'s 32-bit form
# 80 MB to fetch, 25 MB to keep. Nothing is installed, and i386 is not added to the system's
# architectures: its lists of packages are kept apart. Does nothing when it is there.
set -euo pipefail

cache=${HINDSIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hindsight}/foreign
if [ -f "$cache/version" ] && [ "${1:-}" != --refresh ]; then
    echo "$cache"
    exit 0
fi

fail()
{
    echo "fetch-foreign: $*" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && command -v xz >/dev/null ||
    fail "apt-get, dpkg-deb and xz are needed: on another distribution put the files into $cache"
mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,packages}/partial "$work/deb"

# apt TOOL ARGUMENT...: for 32-bit packages, with lists of its own.
apt_386()
{
    local tool=$1
    shift
    "$tool" -o APT::Architecture=i386 -o APT::Architectures::=i386 -o APT::Sandbox::User=root \
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/packages" "$@"
}

apt_386 apt-get update -qq >&2 || echo "fetch-foreign: a list of packages is missing" >&2
kernel=$(apt_386 apt-cache depends linux-image-686-pae 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
[ -n "$kernel" ] || fail "no package linux-image-686-pae is known to apt"
xen=$(apt-cache search --names-only '^xen-hypervisor-[0-9.]*-amd64$' 2>/dev/null | sort -V | sed -n '$s/ .*//p')
[ -n "$xen" ] || fail "no package xen-hypervisor-*-amd64 is known to apt; run apt-get update as root"
cd "$work/deb"
apt_386 apt-get download -qq "$kernel" busybox-static >&2 || fail "$kernel and busybox-static cannot be downloaded"
apt-get -o APT::Sandbox::User=root download -qq "$xen" memtest86+ >&2 ||
    fail "$xen and memtest86+ cannot be downloaded; run apt-get update as root"
for file in linux-image busybox-static xen-hypervisor memtest86+; do
    dpkg-deb --fsys-tarfile "$file"*.deb |
        tar -x -C "$work" --wildcards './boot/*' './bin/busybox' 2>/dev/null || true
done

# The ELF file is the bzImage's payload, whose place the header has (Documentation/x86/boot.rst),
# with its size at the end.
number()
{
    od -An -t u4 -j "$2" -N 4 "$1" | tr -d ' '
}
image=$(echo "$work"/boot/vmlinuz-*-686-pae)
[ -f "$image" ] || fail "$kernel has no kernel"
sectors=$(od -An -t u1 -j 497 -N 1 "$image")
offset=$(((sectors + 1) * 512 + $(number "$image" 584)))
tail -c +"$((offset + 1))" "$image" | head -c "$(($(number "$image" 588) - 4))" | xz -dc >"$work/vmlinux" ||
    fail "$image has no kernel packed by xz in it"
gzip -dc "$work"/boot/xen-*-amd64.gz >"$work/xen" || fail "$xen has no hypervisor"
cp "$work"/boot/memtest86+ia32.bin "$work/memtest" || fail "memtest86+ has no 32-bit form"
mv "$image" "$cache/vmlinuz"
mv "$work/bin/busybox" "$cache/busybox"
mv "$work"/{vmlinux,xen,memtest} "$cache"
basename -s .deb "$work"/deb/*.deb >"$cache/version"
echo "$cache"
