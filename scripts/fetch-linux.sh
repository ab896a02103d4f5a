#!/usr/bin/env bash
# Fetches Debian's cloud kernel and the static busybox as packages and unpacks what the Linux demo,
# tests and benchmarks use into ${HINDSIGHT_CACHE:-~/.cache/hindsight}:
#   vmlinuz, config, modules/ (the kernel's), busybox, version
# With --debug also what the debugger's tests need, 280 MB to fetch and 700 MB to keep:
#   debug/vmlinux, debug/modules/ with debugging information, debug/headers to build modules with
# With --kvm also what tests/lab boots, which the cloud kernel is not: 70 MB to fetch and 9 MB to keep:
#   kvm/vmlinuz, kvm/modules/ (KVM's)
# Nothing is installed and nothing of it belongs in the repository. Does nothing when it is there.
set -euo pipefail

cache=${HINDSIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hindsight}

# leave_if_there [OPTION]
leave_if_there()
{
    if [ -f "$cache/version" ] && [ "${1:-}" != --refresh ] &&
        { [ "${1:-}" != --debug ] || [ -d "$cache/debug/headers" ]; } &&
        { [ "${1:-}" != --kvm ] || [ -d "$cache/kvm" ]; }; then
        echo "$cache"
        exit 0
    fi
}
leave_if_there "$@"

fail()
{
    echo "fetch-linux: $*" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "apt-get and dpkg-deb are needed: on another distribution put vmlinuz, modules/ and busybox into $cache"

# Several may want it at once, as tests do: one fetches, the others have it then.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
leave_if_there "$@"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# kernel_package META: the package of the kernel that is current.
kernel_package()
{
    apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

download()
{
    (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "$@") >&2
}

# fetch_kernel META [PACKAGE]...: unpacks the kernel to $work/kernel, and leaves the packages in $work.
fetch_kernel()
{
    local meta=$1 package update=(apt-get update -qq)
    shift
    package=$(kernel_package "$meta")
    # A list of packages that is missing or too old names files that are no longer there.
    if [ -z "$package" ] || ! download "$package" "$@" 2>/dev/null; then
        [ "$(id -u)" -eq 0 ] || update=(sudo "${update[@]}")
        "${update[@]}" >&2 || fail "the lists of packages cannot be updated; run apt-get update as root"
        package=$(kernel_package "$meta")
        [ -n "$package" ] || fail "no package $meta is known to apt"
        download "$package" "$@" || fail "$package cannot be downloaded"
    fi
    dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
}

# The packages belong to the very build of the kernel that is there.
fetch_debug()
{
    local name=${1%%_*} version=${1#*_}
    name=${name#linux-image-} version=${version%_*}
    local file packages=("linux-image-$name-dbg=$version" "linux-headers-$name=$version"
        "linux-headers-${name%-cloud-amd64}-common=$version" "linux-kbuild-${name%.*}")
    (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "${packages[@]}") >&2 ||
        fail "the debugging packages of $1 cannot be downloaded; is another kernel current? (--refresh)"
    rm -rf "$cache/debug"
    mkdir -p "$work/debug/modules"
    dpkg-deb -x "$work"/linux-image-*-dbg_*.deb "$work/symbols"
    mv "$work"/symbols/usr/lib/debug/boot/vmlinux-* "$work/debug/vmlinux"
    find "$cache/modules" -name 'virtio*.ko' -o -name '*failover.ko' -o -name libcrc32c.ko |
        while read -r file; do
            find "$work/symbols" -name "${file##*/}" -exec mv {} "$work/debug/modules/" \;
        done
    for file in "$work"/linux-headers-*.deb "$work"/linux-kbuild-*.deb; do
        dpkg-deb -x "$file" "$work/debug/headers"
    done
    sed -i "s|/usr/src/|$cache/debug/headers/usr/src/|" "$work"/debug/headers/usr/src/*-cloud-amd64/Makefile
    mv "$work/debug" "$cache/debug"
}

# Debian's kernel for any machine, of which KVM is needed.
fetch_kvm()
{
    local module
    rm -rf "$work"/linux-image-*.deb "$work/kernel"
    fetch_kernel linux-image-amd64
    mkdir -p "$work/kvm/modules"
    mv "$work"/kernel/boot/vmlinuz-* "$work/kvm/vmlinuz"
    for module in irqbypass kvm ccp kvm-amd kvm-intel; do
        find "$work/kernel" -name "$module.ko" -exec mv {} "$work/kvm/modules/" \;
    done
    rm -rf "$cache/kvm"
    mv -T "$work/kvm" "$cache/kvm"
}

if [ -f "$cache/version" ] && [ "${1:-}" = --debug ]; then
    fetch_debug "$(cat "$cache/version")"
    echo "$cache"
    exit 0
fi
if [ -f "$cache/version" ] && [ "${1:-}" = --kvm ]; then
    fetch_kvm
    echo "$cache"
    exit 0
fi
fetch_kernel linux-image-cloud-amd64 busybox-static
dpkg-deb -x "$work"/busybox-static_*.deb "$work/busybox"
rm -rf "$cache/modules" "$cache/debug" "$cache/version"
mv "$work"/kernel/boot/vmlinuz-* "$cache/vmlinuz"
mv "$work"/kernel/boot/config-* "$cache/config"
mv "$work"/kernel/lib/modules/* "$cache/modules"
mv "$work/busybox/bin/busybox" "$cache/busybox"
basename -- "$work"/linux-image-*.deb .deb >"$cache/version"
[ "${1:-}" != --debug ] || fetch_debug "$(cat "$cache/version")"
[ "${1:-}" != --kvm ] || fetch_kvm
echo "$cache"
