# What the runs of Debian's cloud kernel share: sourced after common.bash. Skips where the kernel
# cannot be fetched.
root=$(cd "$here/../.." && pwd)
if ! cache=$("$root/scripts/fetch-linux.sh" 2>"$work/fetch"); then
    echo "skipped: $(tail -n 1 "$work/fetch")"
    exit 77
fi

# initramfs [SOURCE:TARGET]...: to $work/initrd.
initramfs()
{
    "$root/scripts/initramfs.sh" "$work/initrd" "$@"
}

# autorun: an initramfs whose init runs the script on standard input.
autorun()
{
    { echo '#!/bin/sh'; cat; } >"$work/autorun"
    chmod 755 "$work/autorun"
    initramfs "$work/autorun:/autorun" "$@"
}

# A boot takes seconds, on a busy host a minute.
LIMIT=600
machine=(--engine soft --memory 256M --kernel "$cache/vmlinuz" --initrd "$work/initrd")
