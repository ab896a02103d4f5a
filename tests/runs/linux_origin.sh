#!/usr/bin/env bash
# Where values came from in one run of Linux: a byte of a file's text on a process's stack, to its
# sector on the member of the RAID 5 array that it was read from; a byte of a command's output, to the
# key that was pressed; a list's broken pointer, to the instruction that computed it.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
export PATH=$PATH:/sbin:/usr/sbin
command -v mke2fs >/dev/null || {
    echo "skipped: no mke2fs"
    exit 77
}
cd "$work"

build_module overrun
build_program show "$root/guests/linux/show.c" -static
mkdir content
head -c 30000 /dev/zero | tr '\0' x >content/before
echo 'HINDSIGHT finds where this came from.' >content/message
truncate -s 8M fs
mke2fs -q -t ext4 -d content fs
# The file system as md lays it out over three members: left-symmetric, chunks of 64 KiB.
"$HINDSIGHT" raid create --level 5 --size 5M a b c >out 2>err || fail "create"
python3 - <<'PYTHON'
chunk = 65536
data = open("fs", "rb").read()
members = [open(name, "r+b") for name in "abc"]
for stripe in range(len(data) // (2 * chunk)):
    halves = [data[(2 * stripe + i) * chunk:(2 * stripe + i + 1) * chunk] for i in (0, 1)]
    first_half, second_half = (int.from_bytes(half, "little") for half in halves)
    parity = (first_half ^ second_half).to_bytes(chunk, "little")
    first = 2 - stripe % 3
    for i, content in enumerate((parity, *halves)):
        members[(first + i) % 3].seek(stripe * chunk)
        members[(first + i) % 3].write(content)
PYTHON
"$HINDSIGHT" raid scrub a b c >out 2>err || fail "the members disagree"
cp a b c content

autorun "$work/overrun/overrun.ko:/overrun.ko" "$work/show:/show" <<'GUEST'
mount -t ext4 -o ro /dev/vda /mnt
/show /mnt/message
insmod /overrun.ko
GUEST
cat >type.py <<'PYTHON'
import sys
from terminal import Terminal

terminal = Terminal(sys.argv[1:])
terminal.wait_for(b"init: a shell")
terminal.wait_for(b"# ")
terminal.type("echo sum $((6 * 7))\r")
terminal.wait_for(b"sum 42")
terminal.wait_for(b"# ")
terminal.type("poweroff -f\r")
terminal.wait_for(b"reboot: Power down")
sys.exit(terminal.finish())
PYTHON
PYTHONPATH=$here timeout 300 python3 type.py "$HINDSIGHT" record "${machine[@]}" --append console=ttyS0 \
    --disk raid=5,file=a,file=b,file=c -o t.hst >out 2>err || fail "recording: status $?"
rm -f a b c fs

debug t.hst "add-symbol-file $work/show -process show" "modules $work/overrun" \
    'tbreak shown' continue 'origin *text' \
    'tbreak overrun_done' continue 'origin record->link.next' 'origin #2' \
    'tbreak ksys_write if *(unsigned short *)buf == 0x7573' continue 'print buf' 'origin *buf' when
[ "$status" -eq 0 ] || fail "debugging: status $status"
start_wants
want '^1 byte of phys:.* 48 .H.'
want 'rep movs.*copy_user.* process [0-9]+ show .*from phys:'
want 'a device writes'
want '^ +disk0 \(RAID 5\), sector [0-9]+: member[0-2], LBA [0-9]+, stripe [0-9]+, byte 0$'
read -r member lba < <(sed -n 's/.*: member\([0-2]\), LBA \([0-9]*\), stripe .*/\1 \2/p' out | head -n 1)
files=(a b c)
[ "$(dd if="content/${files[member]}" bs=512 skip="$lba" count=1 2>/dev/null | head -c 9)" = HINDSIGHT ] ||
    fail "member $member has something else at LBA $lba"
echo "a byte on a stack came from member $member, LBA $lba"

want '^8 bytes of phys:'
want 'rep movs.*set_name.* process [0-9]+ insmod .*from phys:'
want 'movq.*make_name.*from rax'
want 'imulq.*tag_of'
want '^ +computed here'
want '^ +#[0-9]+: rax'
want '^8 bytes of '
echo "a broken pointer was computed in tag_of"

want ' = .*"sum 42'
want '^1 byte of phys:.* 73 .s.'
want 'process [0-9]+ sh .*from'
want 'rep movsb.*copy_user.*from phys:'
want 'n_tty_receive_char.*from'
want 'inb .*io_serial_in'
want "typed byte 6 of the console, 's', which came with event [0-9]+"
echo "a byte of a command's output is the sixth that was typed"
