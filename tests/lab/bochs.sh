#!/usr/bin/env bash
# bochs.sh GUEST [OPTIONS]: boots a guest that checks the CPU in Bochs by itself, without KVM and hindsight; prints its
# console. By hand; packages bochs bochsbios vgabios bochs-term grub-pc-bin grub-common xorriso mtools.
set -euo pipefail
source "$(dirname "$0")/bochs.bash"
work=$(mktemp -d)
bochs=
trap 'kill $bochs 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/iso/boot/grub"
strip --strip-debug -o "$work/iso/guest" "$1"
printf 'set timeout=0\nmenuentry lab {\n multiboot /guest %s\n boot\n}\n' "${2:-}" >"$work/iso/boot/grub/grub.cfg"
grub-mkrescue -o "$work/lab.iso" "$work/iso" 2>"$work/mkrescue" || { cat "$work/mkrescue" >&2; exit 1; }
bochs_start 128
left=${LAB_TIMEOUT:-300}
while kill -0 "$bochs" 2>/dev/null && [ "$left" -gt 0 ] && ! grep -q 'checks passed' "$work/console"; do
    sleep 1
    left=$((left - 1))
done
tr -d '\r' <"$work/console"
grep -q 'checks passed' "$work/console"
