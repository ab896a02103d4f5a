#!/usr/bin/env bash
# Debian's cloud kernel boots to a shell that a person types at, and is switched off; COUNT
# recordings, each replayed identically with the same bytes on the console. A panic and images that
# cannot be booted end as they should.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
count=${COUNT:-1}

initramfs
for round in $(seq "$count"); do
    timeout 500 python3 "$here/type_at_linux.py" "$work/console" "$HINDSIGHT" record "${machine[@]}" \
        --append console=ttyS0 -o "$work/t.hst" >"$work/out" 2>"$work/err" || fail "typing: status $?"
    for again in 1 2; do
        identical "$work/t.hst" --console
    done
    python3 "$here/same_console.py" "$work/out" "$work/console" || fail "the replay prints something else"
done
echo "typed at a shell, switched off: $count recordings replayed identically"

hindsight record "${machine[@]}" --pace fast --append "console=ttyS0 rdinit=/nowhere root=/dev/nothing" -o "$work/panic.hst"
[ "$status" -eq 100 ] || fail "a panic: status $status"
grep -q 'panicked.*: Kernel panic - not syncing: VFS: Unable to mount root' "$work/err" ||
    fail "a panic: its text is not told"
identical "$work/panic.hst"
echo "a panic ends the run with its text and status 100"

with()
{
    refused 125 "$1" run --engine soft --serial null "${@:2}"
}
head -c 3000000 "$cache/vmlinuz" >"$work/short"
with 'truncated' --kernel "$work/short" --memory 256M
head -c 600 "$cache/vmlinuz" >"$work/short"
with 'truncated' --kernel "$work/short" --memory 256M
with 'give more with --memory' --kernel "$cache/vmlinuz" --memory 32M
truncate -s 250M "$work/large"
with 'does not fit' --kernel "$cache/vmlinuz" --memory 256M --initrd "$work/large"
rm "$work/large"
refused 2 'at most 2047' run --kernel "$cache/vmlinuz" --append "$(printf '%2048s' x)"
echo "what cannot boot is refused"
