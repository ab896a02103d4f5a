#!/usr/bin/env bash
# A position as a core file: crash, drgn, gdb and readelf open it, and see the log, the tasks and the
# registers that the debugger sees there. The trace's kernel, initramfs and disk come out as they went in.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"
for tool in crash drgn readelf gdb; do
    command -v "$tool" >/dev/null || fail "no $tool (scripts/setup.sh installs it)"
done

truncate -s 1M disk
printf 'begins here' | dd of=disk conv=notrunc status=none
cp disk before
autorun <<'GUEST'
head -c 11 /dev/vda
printf 'another text' | dd of=/dev/vda bs=512 seek=8 2>/dev/null
sync
exec sleep 1000
GUEST
hindsight record "${machine[@]}" --memory 192M --pace fast --max-time 4s --disk file=disk \
    --append console=ttyS0 -o t.hst
[ "$status" -eq 108 ] || fail "recording: status $status, not that of the time limit"

debug t.hst 'seek end' 'print $rip' 'print $rsp' 'print jiffies_64' 'ps' 'dmesg 1' 'core vmcore' 'extract kernel k' \
    'extract initrd i' 'extract disk d'
[ "$status" -eq 0 ] || fail "writing: status $status"
rip=$(sed -n 's/^\$1 = .*\(0x[0-9a-f]*\).*/\1/p' out | head -n 1)
jiffies=$(sed -n 's/^\$3 = //p' out)
pid=$(awk '/ sleep /{print $1; exit}' <(sed 's/^\*/ /' out))
[ -n "$rip" ] && [ -n "$jiffies" ] && [ -n "$pid" ] || fail "the debugger's own view"
cmp -s k "$cache/vmlinuz" || fail "the kernel"
cmp -s i initrd || fail "the initramfs"
cmp -s -n 512 d before || fail "a sector that was read"
[ "$(dd if=d bs=512 skip=8 count=1 status=none | head -c 12)" = 'another text' ] || fail "a sector that was written"
[ "$(stat -c %s d)" -eq 1048576 ] || fail "the disk's size"
[ "$(stat -c %a vmcore)" = 600 ] || fail "the core file is not its user's alone"

readelf -h -l -n vmcore >out 2>err || fail "readelf"
grep -q 'CORE (Core file)' out || fail "not a core file"
[ "$(grep -c '^ *CORE .*NT_PRSTATUS' out)" -eq 1 ] || fail "no registers of the vCPU"
grep -q 'VMCOREINFO' out || fail "no VMCOREINFO"
[ ! -s err ] || fail "readelf complains"

LC_ALL=C gdb -nx -batch -ex 'info threads' -ex 'thread apply all print $rip' "$vmlinux" vmcore >out 2>err ||
    fail "gdb"
[ "$(grep -c '^\$[12] = .*0x' out)" -ge 1 ] || fail "gdb's registers"
grep -q "$rip" out || fail "gdb has another rip than $rip"

printf 'sys\nlog\np jiffies_64\nexit\n' >commands
crash -s "$vmlinux" vmcore <commands >out 2>err || fail "crash"
grep -q 'RELEASE: 6\.' out || fail "crash does not know the kernel"
grep -q 'Run /init as init process' out || fail "crash's log"
grep -qE "^jiffies_64 = .[0-9]+ = $jiffies\$" out || fail "crash has other jiffies than $jiffies"

cat >script.py <<'EOF2'
from drgn.helpers.linux import for_each_task
for task in for_each_task(prog):
    print(task.pid.value_(), task.comm.string_().decode())
print("jiffies", prog["jiffies_64"].value_())
EOF2
drgn -q -c vmcore -s "$vmlinux" script.py >out 2>err || fail "drgn"
grep -qx "$pid sleep" out || fail "drgn has no process $pid"
grep -qx "jiffies $jiffies" out || fail "drgn has other jiffies than $jiffies"

# Of a guest that is no Linux, memory is where it is.
hindsight record --engine soft --pace fast --kernel "$GUESTS/hello.elf" -o hello.hst
hindsight debug hello.hst --batch -ex 'seek 3' -ex 'core plain' -ex 'extract initrd none'
[ "$status" -eq 1 ] || fail "an initrd that is not there: status $status"
grep -q 'started without one' err || fail "no message for an initrd that is not there"
grep -q 'linear addresses are the physical ones' out || fail "no word on addresses"
[ ! -e none ] || fail "a file is left of what is not there"
LC_ALL=C gdb -nx -batch -ex bt "$GUESTS/hello.elf" plain >out 2>err || fail "gdb of a plain guest"
grep -q 'boot_main' out || fail "no backtrace of a plain guest"
echo "core files that crash, drgn, gdb and readelf open"
