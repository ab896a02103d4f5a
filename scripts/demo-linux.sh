#!/usr/bin/env bash
# Debian's kernel on a RAID 5 array with a program that corrupts a file and crashes: recorded,
# replayed, and walked back from the crash to the instruction that did it. Run by demo.sh, after the
# build.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/demo/linux
hindsight=build/bin/hindsight
trace=$folder/linux.hst

say()
{
    printf '\n== %s\n' "$*"
}

stop()
{
    echo "demo: $*" >&2
    exit 1
}

mkdir -p "$folder"
say "Debian's cloud kernel and busybox"
cache=$(scripts/fetch-linux.sh) || stop "the kernel's package cannot be fetched"
cat "$cache/version"

say "An initramfs with a program that has a bug, and an array of three files"
${CC:-cc} -O1 -g -static -fno-pie -no-pie guests/initramfs/ledger.c -o "$folder/ledger"
cat >"$folder/autorun" <<'GUEST'
#!/bin/sh
mke2fs -F /dev/vda >/dev/null 2>&1
mount -t ext4 /dev/vda /mnt
/bin/ledger /mnt/book
echo "ledger: status $?"
cat /mnt/book
umount /mnt
poweroff -f
GUEST
chmod +x "$folder/autorun"
scripts/initramfs.sh "$folder/initrd" "$folder/autorun:/autorun" "$folder/ledger:/bin/ledger"
rm -f "$folder"/member?
"$hindsight" raid create --level 5 --size 16M "$folder"/member{0,1,2}

say "Recording the boot (about ten seconds)"
disk=raid=5,file=$folder/member0,file=$folder/member1,file=$folder/member2
"$hindsight" record --engine soft --pace fast --memory 256M --kernel "$cache/vmlinuz" \
    --initrd "$folder/initrd" --append console=ttyS0 --disk "$disk" -o "$trace" \
    --serial "file:$folder/console" </dev/null 2>"$folder/messages" &
recorder=$!
while kill -0 $recorder 2>/dev/null; do
    sleep 0.5
    [ -t 1 ] && printf '\r    %6d lines on the console' "$(wc -l <"$folder/console" 2>/dev/null || echo 0)"
done
wait $recorder || { cat "$folder/messages" >&2; stop "the recording failed"; }
printf '\r'
tail -n 1 "$folder/messages"

say "Its story, with the position of each line"
"$hindsight" dump --kind pio-out --json "$trace" | scripts/story.py 'Linux version' 'ACPI: Core' \
    'Memory:' 'PCI host bridge' 'Run /init' '^init:' 'virtio_blk' 'EXT4-fs' 'ledger' '^[a-z-]+.* [0-9]+$' \
    'Power down'

say "The array's last writes"
"$hindsight" dump --kind disk "$trace" | tail -n 6

say "Replaying it"
rm -f "$folder"/member?
"$hindsight" replay "$trace"

say "Back from the crash to the write that did it"
# The name in book[3] ran over into the balance after it: who wrote the end of the name, and what
# does the same loop write next?
book=$(nm "$folder/ledger" | sed -n 's/^0*\([0-9a-f]*\) [bBdD] book$/\1/p')
address=$((0x$book + 3 * 16 + 12))
"$hindsight" debug "$trace" --batch -ex 'seek end' -ex 'catch exception 14' \
    -ex 'condition 1 $cr2 == 0' -ex reverse-continue -ex reverse-stepi -ex 'x/1i $pc' \
    -ex "last-write *$((address - 8))" -ex 'x/1i $pc' -ex when -ex "print *(unsigned *)$address" \
    -ex 'echo and the next round of the loop:\n' -ex "watch *(unsigned *)$address" -ex continue \
    2>&1 | tee "$folder/session" || true
pc=$(sed -n "s|^\(0x4[0-9a-f]*\):.*|\1|p" "$folder/session" | tail -n 1)
if [ -n "$pc" ] && command -v addr2line >/dev/null; then
    echo "which is $(addr2line -f -e "$folder/ledger" "$pc" | paste -sd ' ')"
fi
