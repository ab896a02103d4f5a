#!/usr/bin/env bash
# Boot files in a store: unpacked traces are small, replay and are debugged from there, say what is
# missing, and become one file again.
source "$(dirname "$0")/common.bash"
cd "$work"
export XDG_DATA_HOME=$work/data
# A kernel whose size shows: the program at the front, what does not compress at the end.
cp "$GUESTS/crash.elf" kernel.elf
head -c 3000000 /dev/urandom >>kernel.elf
hindsight record --engine soft --pace fast --serial null --seed 3 --chaos --kernel kernel.elf \
    --append 'ticks=600 hz=10000' -o whole.hst
[ "$status" -eq 85 ] || fail "record: status $status"
bytes()
{
    stat -c %s "$1"
}

hindsight unpack whole.hst -o small.hst
[ "$status" -eq 0 ] || fail "unpack: status $status"
name=$(sha256sum kernel.elf | cut -d' ' -f1)
cmp -s kernel.elf "data/hindsight/$name" || fail "the kernel is not in the store"
[ "$(ls -A data/hindsight)" = "$name" ] || fail "the store has more"
[ "$(bytes small.hst)" -lt 100000 ] || fail "the unpacked trace has $(bytes small.hst) bytes"
hindsight info small.hst
grep -qF "in the store: $work/data/hindsight/$name" "$work/out" || fail "info does not say where the kernel is"
hindsight info --json small.hst
grep -qF "\"sha256\": \"$name\", \"in_store\": true" "$work/out" || fail "info --json does not"
hindsight verify small.hst
[ "$status" -eq 0 ] || fail "verify: status $status"
identical small.hst
hindsight replay small.hst --engine soft --until 50%
[ "$status" -eq 0 ] || fail "half of it: status $status"
hindsight debug small.hst --batch -ex 'extract kernel kernel.out' -ex 'seek end' -ex 'assert $rsp != 0' -ex 'backtrace 3'
[ "$status" -eq 0 ] || fail "debug: status $status"
grep -q '^#0' "$work/out" || fail "no symbols"
cmp kernel.elf kernel.out || fail "another kernel is extracted"
hindsight fork small.hst --at 50% --pace fast --serial null -o forked.hst
identical forked.hst
echo "a small trace is replayed, debugged and forked"

# Another store, a missing file, a damaged one.
mv data/hindsight elsewhere
refused 6 'the store of boot files' replay small.hst
mkdir data/hindsight
refused 6 "$name" replay small.hst
refused 6 'is not in the store' debug small.hst --batch
refused 6 'store' pack small.hst -o again.hst
[ ! -e again.hst ] || fail "a file that could not be packed is there"
hindsight info small.hst
[ "$status" -eq 0 ] && grep -q MISSING "$work/out" || fail "info does not say that the kernel is missing"
mkdir suite
cp small.hst suite/
hindsight test suite
[ "$status" -eq 1 ] && grep -q 'a boot file is not in the store (status 6)' "$work/out" || fail "test: $status"
hindsight test suite --store elsewhere
[ "$status" -eq 0 ] || fail "test --store: status $status"
hindsight replay small.hst --store elsewhere
[ "$status" -eq 0 ] || fail "replay --store: status $status"
chmod u+w "elsewhere/$name"
printf X | dd of="elsewhere/$name" bs=1 seek=2000000 conv=notrunc status=none
refused 6 'damaged' replay small.hst --store elsewhere
hindsight unpack whole.hst -o small.hst --store elsewhere
hindsight replay small.hst --store elsewhere
[ "$status" -eq 0 ] || fail "the damaged file was not replaced"
echo "what is missing or damaged is told, with a status of its own"

# One file again, smaller than what was recorded; it needs no store.
hindsight pack small.hst -o again.hst --store elsewhere
[ "$status" -eq 0 ] || fail "pack: status $status"
[ "$(bytes again.hst)" -lt "$(bytes whole.hst)" ] || fail "packed: $(bytes again.hst) of $(bytes whole.hst) bytes"
identical again.hst --store /nonexistent
hindsight diff whole.hst again.hst
[ "$status" -eq 0 ] || fail "the packed run is another"
hindsight unpack again.hst -o stripped.hst --strip --store elsewhere
hindsight replay stripped.hst --store elsewhere
[ "$status" -eq 0 ] && grep -q 'no checks' "$work/out" || fail "unpack --strip: status $status"
refused 2 'again.hst' pack again.hst -o again.hst
echo "packed: $(bytes whole.hst) to $(bytes again.hst) bytes, unpacked $(bytes small.hst), stripped $(bytes stripped.hst)"

# Written that way at once.
hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" --store new/store -o direct.hst
[ "$status" -eq 0 ] || fail "record --store: status $status"
hindsight replay direct.hst --store new/store
[ "$status" -eq 0 ] || fail "replay of what was recorded so: status $status"
[ -e "new/store/$(sha256sum "$GUESTS/hello.elf" | cut -d' ' -f1)" ] || fail "record --store stores nothing"
refused 125 'store' record --engine soft --kernel "$GUESTS/hello.elf" --store small.hst/x -o never.hst
refused 1 'Not a directory' unpack whole.hst -o never.hst --store small.hst
refused 2 'give one trace' unpack whole.hst
refused 4 'not a hindsight trace' unpack kernel.elf -o never.hst
[ ! -e never.hst ] || fail "a failed command left a file"
# Whoever has no home is told so, and needs none for a trace that is whole.
(unset XDG_DATA_HOME; HOME='' "$HINDSIGHT" replay again.hst >/dev/null) || fail "without a home"
echo "recorded into a store"
