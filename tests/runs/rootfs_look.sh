#!/usr/bin/env bash
# Files, processes, the kernel's log and the console as they were at a position: from the disk as of
# then, and with the kernel's symbols from its page cache where that is newer.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
grep -q 'HINDSIGHT_EXT4:BOOL=ON' "$BUILD/CMakeCache.txt" || exit 77
cd "$work"
mkdir -p root/bin root/data
cp "$cache/busybox" root/bin/busybox
for applet in sh sync sleep dd ls; do
    ln -s busybox root/bin/$applet
done
head -c 300000 /dev/urandom >root/data/large
hindsight record --engine soft --kernel "$cache/vmlinuz" --root root -o t.hst -- sh -c '
    echo first >/data/file; sync
    echo second time >/data/file; echo new >/data/new; busybox md5sum /data/large; echo the place
    sleep 1; sync; dd if=/dev/zero of=/data/after count=1 2>/dev/null; ls /; echo the end'
[ "$status" -eq 0 ] || fail "recording: $status"
hindsight debug t.hst --batch -ex 'watch console:"the place"' -ex continue -ex when
place=$(sed -n 's/^position \([0-9.]*\) of .*/\1/p' out)
[ -n "$place" ] || fail "no position"

# shown WANTED ARGUMENT...: standard output is that file.
shown()
{
    local wanted=$1
    shift
    hindsight "$@"
    [ "$status" -eq 0 ] || fail "$*: status $status"
    cmp "$wanted" out || fail "$*: $(head -c 300 out)"
}
echo first >first
echo second time >second
echo new >new
shown first cat t.hst --at "$place" /data/file
grep -qx 'hindsight: /data/file: from the disk as of then' err || fail "no word of the disk"
shown second cat t.hst --at "$place" --symbols "$vmlinux" /data/file
shown new cat t.hst --at "$place" --symbols "$vmlinux" /data/new
grep -qx 'hindsight: /data/new: 1 of 1 pages from the page cache, 1 of them not written back yet' err || fail "no word of the cache"
shown root/data/large cat t.hst --at "$place" /data/large
shown second cat t.hst /data/file
refused 1 '/data/new: there is no such file' cat t.hst --at "$place" /data/new
echo "a file from the disk and from the page cache"

hindsight ps t.hst --at "$place" --symbols "$vmlinux"
grep -qE '^. +[0-9]+ +1 .* sh +sh -c' out || fail "ps: $(cat out)"
hindsight dmesg t.hst --at "$place" --symbols "$vmlinux" --lines 2
[ "$status" -eq 0 ] && [ "$(wc -l <out)" -eq 2 ] && grep -q '^\[ *[0-9.]*\] ' out || fail "dmesg: $(cat out)"
hindsight console t.hst --at "$place"
[ "$status" -eq 0 ] && grep -q 'the place$' out && ! grep -q 'the end' out || fail "console: $(cat out)"
hindsight console t.hst --lines 1
[ "$(cat out)" = 'the end' ] || fail "console: $(cat out)"
echo "processes, log and console of then"

refused 1 'a folder' cat t.hst /data
refused 1 'there is no such file' cat t.hst /nothing
refused 1 'has 1' cat t.hst --disk 1 /data/file
refused 2 'not a number' cat t.hst --disk x /data/file
refused 2 'give one trace and the path' cat t.hst
refused 2 'give one trace' ps
refused 2 'bad option' ps t.hst --lines 3
refused 1 'is not a position' cat t.hst --at nowhere /data/file
refused 1 'nowhere' dmesg t.hst --symbols nowhere
refused 1 'No such file' console none.hst
hindsight record --engine soft --kernel "$GUESTS/hello.elf" --serial null --pace fast -o h.hst
refused 1 'no disk' cat h.hst /x
head -c 4096 /dev/zero >empty.img
hindsight record --engine soft --kernel "$GUESTS/disk.elf" --disk file=empty.img --append 'passes=1 sectors=8 random=1' \
    --serial null --pace fast -o d.hst
refused 1 'no ext4 file system: ' cat d.hst /x
echo "what is not there is said"
