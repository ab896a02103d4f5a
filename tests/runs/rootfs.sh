#!/usr/bin/env bash
# A command in a folder as its root: its output and its status are the tool's own, what it leaves in
# /share comes out, and nothing else does, whatever the guest makes of its disk.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
cd "$work"
command -v mke2fs >/dev/null || PATH=$PATH:/sbin:/usr/sbin
grep -q 'HINDSIGHT_EXT4:BOOL=ON' "$BUILD/CMakeCache.txt" || exit 77
mkdir -p root/bin root/data
cp "$cache/busybox" root/bin/busybox
for applet in sh cat echo id ls stat env; do
    ln -s busybox root/bin/$applet
done
echo 'from the folder' >root/data/file
rooted=(record --engine soft --kernel "$cache/vmlinuz" --root)

# Byte for byte, the environment as it is said, status as a shell has it.
hindsight "${rooted[@]}" root --env 'GREETING=hello, there' --chdir /data -o t.hst -- \
    sh -c 'printf "%s\n" "$GREETING" "$HOME" "$1"; cat file; id -u; echo "lo $(cat /sys/class/net/lo/operstate)"
           echo kept >/data/new; cat /dev/stdin; exit 42' - 'two words'
[ "$status" -eq 42 ] || fail "the command's status: $status"
printf 'hello, there\n/root\ntwo words\nfrom the folder\n0\nlo unknown\n' | cmp - out || fail "the output"
grep -q '^hindsight: t.hst: ' err || fail "no summary"
[ "$(wc -l <err)" -eq 1 ] || fail "more than the summary"
[ ! -e root/data/new ] || fail "the folder was written"
[ -z "$(find "${TMPDIR:-/var/tmp}" -maxdepth 1 -name 'hindsight-*' -newer root/data/file 2>/dev/null)" ] ||
    fail "something is left over"
identical t.hst
hindsight info t.hst --json
grep -q '"outcome": "status", "exit_status": 42' out || fail "info: $(cat out)"
echo "a command's output and status"

# What cannot be run, and what dies.
hindsight run "${rooted[@]:1}" root -- no-such-program
[ "$status" -eq 127 ] || fail "a missing command: $status"
grep -qx 'guest-init: no-such-program: no such command' out || fail "a missing command: no word"
hindsight run "${rooted[@]:1}" root -- /data/file
[ "$status" -eq 126 ] || fail "no program: $status"
hindsight run "${rooted[@]:1}" root --chdir /nowhere -- true
[ "$status" -eq 127 ] || fail "no folder: $status"

# An archive, as somebody who is not root if that can be; death by a signal; what is hostile.
gcc -D_GNU_SOURCE -O1 -Wall -Werror -static -o root/bin/hostile "$root/guests/linux/hostile.c"
tar -C root -czf root.tar.gz .
mkdir out.d
touch victim
ln -s ../victim out.d/setuid
as=() kernel=$cache/vmlinuz
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null &&
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$HINDSIGHT"; then
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    cp -r "$cache/vmlinuz" "$cache/modules" .
    kernel=$work/vmlinuz
    chown -R 65534 .
    chmod 755 .
fi
status=0
TMPDIR=$work timeout 300 "${as[@]}" "$HINDSIGHT" record --engine soft --kernel "$kernel" --root root.tar.gz \
    --root-size 32M --share out.d -o v.hst -- \
    sh -c 'stat -c "%u %a %n" /data/file /bin/busybox; hostile || exit 9; kill -9 $$' >out 2>err </dev/null || status=$?
[ "$status" -eq 137 ] || fail "death by signal 9: $status"
grep -qx "0 $(stat -c %a root/data/file) /data/file" out || fail "the archive's files: $(cat out)"
[ "$(cat out.d/good/result)" = 'a result' ] || fail "the result is not there"
[ "$(find out.d | sort | tr '\n' ' ')" = 'out.d out.d/good out.d/good/result out.d/setuid out.d/sparse ' ] ||
    fail "copied: $(find out.d)"
[ ! -e escaped ] && [ ! -s victim ] || fail "something escaped"
[ -f out.d/setuid ] && [ ! -L out.d/setuid ] && [ ! -u out.d/setuid ] || fail "the link was kept, or set-user-ID"
[ "$(stat -c '%s' out.d/sparse)" -eq 3145728 ] && [ "$(stat -c %b out.d/sparse)" -lt 100 ] || fail "a hole is none"
grep -q "^hindsight: --share out.d: [0-9]* left out, '" err || fail "nobody says what was left out"
identical v.hst
echo "an archive, ${as[0]:+not as root, }results, and nothing that is hostile"

# What cannot be.
refused 2 'no command' "${rooted[@]}" root -o x.hst
refused 2 'are for --root' record --kernel "$cache/vmlinuz" --share out -o x.hst
refused 2 "'sh' is not understood" record --kernel "$cache/vmlinuz" -o x.hst -- sh
refused 2 'NAME=VALUE' "${rooted[@]}" root --env NAME -o x.hst -- sh
refused 2 'a path from /' "${rooted[@]}" root --chdir data -o x.hst -- sh
refused 2 'an initrd of its own' "${rooted[@]}" root --initrd root.tar.gz -o x.hst -- sh
refused 125 'No such file' "${rooted[@]}" nowhere -o x.hst -- sh
refused 125 'tar failed: ' "${rooted[@]}" victim -o x.hst -- sh
refused 125 'neither a folder nor an archive' "${rooted[@]}" /dev/null -o x.hst -- sh
refused 125 'needs at least' "${rooted[@]}" root --root-size 1M -o x.hst -- sh
refused 125 'no folder' "${rooted[@]}" root --modules nowhere -o x.hst -- sh
refused 125 'Not a directory' "${rooted[@]}" root --share victim/x -o x.hst -- sh
HINDSIGHT_CACHE=$work/none refused 2 'run scripts/fetch-linux.sh' record --root root -o x.hst -- sh
[ ! -e x.hst ] || fail "a trace of nothing"
echo "what cannot be run is said"
