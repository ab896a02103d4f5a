#!/usr/bin/env bash
# Fetches Debian's cloud kernel and the static busybox as packages and unpacks what the Linux demo,
# tests and benchmarks use into ${HINDSIGHT_CACHE:-~/.cache/hindsight}:
#   vmlinuz, config, modules/ (the kernel's), busybox, version
# Nothing is installed and nothing of it belongs in the repository. Does nothing when it is there.
set -euo pipefail

cache=${HINDSIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hindsight}
meta=linux-image-cloud-amd64

if [ -f "$cache/version" ] && [ "${1:-}" != --refresh ]; then
    echo "$cache"
    exit 0
fi

fail()
{
    echo "fetch-linux: $*" >&2
    exit 1
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "apt-get and dpkg-deb are needed: on another distribution put vmlinuz, modules/ and busybox into $cache"

kernel_package()
{
    apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
package=$(kernel_package)
download()
{
    (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "$package" busybox-static) >&2
}
# A list of packages that is missing or too old names files that are no longer there.
if [ -z "$package" ] || ! download 2>/dev/null; then
    update=(apt-get update -qq)
    [ "$(id -u)" -eq 0 ] || update=(sudo "${update[@]}")
    "${update[@]}" >&2 || fail "the lists of packages cannot be updated; run apt-get update as root"
    package=$(kernel_package)
    [ -n "$package" ] || fail "no package $meta is known to apt"
    download || fail "$package and busybox-static cannot be downloaded"
fi
dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
dpkg-deb -x "$work"/busybox-static_*.deb "$work/busybox"
rm -rf "$cache/modules" "$cache/version"
mv "$work"/kernel/boot/vmlinuz-* "$cache/vmlinuz"
mv "$work"/kernel/boot/config-* "$cache/config"
mv "$work"/kernel/lib/modules/* "$cache/modules"
mv "$work/busybox/bin/busybox" "$cache/busybox"
basename -- "$work"/linux-image-*.deb .deb >"$cache/version"
echo "$cache"
