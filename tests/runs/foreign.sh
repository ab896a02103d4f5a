#!/usr/bin/env bash
# Kernels of others run unmodified, as Debian packages them: 32-bit Linux by both of its entries to
# user space and power-off, memtest86+'s 32-bit form to its tests, Xen until it misses a dom0. Each
# is recorded, replays identical, and is stepped backward. docs/foreign-guests.md has
# those that no package brings.
source "$(dirname "$0")/common.bash"
root=$(cd "$here/../.." && pwd)
if ! foreign=$("$root/scripts/fetch-foreign.sh" 2>"$work/fetch"); then
    echo "skipped: $(tail -n 1 "$work/fetch")"
    exit 77
fi
# On a busy host a boot takes a minute.
LIMIT=400

# A 32-bit user space: prints what runs it and switches the machine off. The host need not be able to
# run its busybox, so the archive (cpio's newc format) is written here.
make_initrd()
{
    cat >"$work/init" <<'GUEST'
#!/bin/busybox sh
/bin/busybox mkdir /proc
/bin/busybox mount -t proc none /proc
echo "user space on $(/bin/busybox uname -srm)"
/bin/busybox poweroff -f
GUEST
    python3 - "$work/init" "$foreign/busybox" >"$work/initrd" <<'EOP'
import sys

def entry(name, mode, data=b""):
    name = name.encode() + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    for part in (head, data):
        sys.stdout.buffer.write(part + bytes(-len(part) % 4))

init, busybox = (open(name, "rb").read() for name in sys.argv[1:])
entry("bin", 0o40755)
entry("bin/busybox", 0o100755, busybox)
entry("init", 0o100755, init)
entry("TRAILER!!!", 0)
EOP
}

# works STATUS TEXT CHOICE POSITION ARGUMENT...: recorded with that status, printing TEXT, started as
# CHOICE says; replayed; stepped back from POSITION.
works()
{
    local wanted=$1 text=$2 choice=$3 position=$4 start=$SECONDS
    shift 4
    hindsight record --engine soft --pace fast "$@" -o "$work/t.hst"
    [ "$status" -eq "$wanted" ] || fail "status $status, not $wanted"
    tr -d '\000' <"$work/out" | grep -aqE "$text" || fail "no '$text'"
    grep -qF -- "$choice" "$work/err" || fail "is not said to be started by $choice"
    identical "$work/t.hst"
    local events
    events=$(replayed_events)
    hindsight debug "$work/t.hst" --batch -ex "seek $position" -ex 'reverse-stepi' -ex 'reverse-stepi 1000'
    [ "$status" -eq 0 ] || fail "stepping back, status $status"
    echo "$events events, $((SECONDS - start)) s"
}

# start NAME ARGUMENT...: works, beside the others, in a folder of its own.
start()
{
    local name=$1
    shift
    mkdir "$work/$name"
    (work=$work/$name works "$@") >"$work/$name/says" 2>&1 &
    children+=("$!")
    names+=("$name")
}

make_initrd
names=()
linux=(--memory 256M --initrd "$work/initrd" --append 'console=ttyS0 quiet')
start bzimage 0 'user space on Linux [0-9.-]*686-pae i686' '32-bit entry' t=60ms \
    --kernel "$foreign/vmlinuz" "${linux[@]}"
start pvh 0 'user space on Linux [0-9.-]*686-pae i686' 'by --boot pvh' t=60ms \
    --kernel "$foreign/vmlinux" "${linux[@]}"
start xen 0 'dom0 kernel not specified' 'by --boot multiboot' end \
    --kernel "$foreign/xen" --append 'com1=115200,8n1 console=com1 noreboot' --max-time 2s
# Ended by the time limit. It writes to a display, which is not there, and clears the terminal at the
# serial port.
start memtest 108 '\[2J' '32-bit entry' end \
    --kernel "$foreign/memtest" --append 'console=ttyS0,115200' --memory 16M --max-time 500ms
failed=
for i in "${!names[@]}"; do
    wait "${children[i]}" || failed+=" ${names[i]}"
    echo "${names[i]}: $(cat "$work/${names[i]}/says")"
done
[ -z "$failed" ] || fail "does not work:$failed"
