#!/usr/bin/env bash
# Wrong files, sizes and hosts: one line that says what, where and what to do, and the right status.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
record=(record --engine "$engine" --pace fast -o "$work/t.hst")

# Kernels
refused 125 "$work: Is a directory" "${record[@]}" --kernel "$work"
: >"$work/empty"
refused 125 'the file is empty' "${record[@]}" --kernel "$work/empty"
refused 125 'No such file' "${record[@]}" --kernel "$work/none"
head -c 4096 /dev/zero >"$work/zeroes"
refused 125 "$work/zeroes" "${record[@]}" --kernel "$work/zeroes"
echo 'echo a script' >"$work/script"
refused 125 "$work/script" "${record[@]}" --kernel "$work/script"
for length in 3 20 63 64 100 500 5000; do
    head -c $length "$GUESTS/hello.elf" >"$work/short"
    refused 125 "$work/short" "${record[@]}" --kernel "$work/short"
done
# Byte 18 of an ELF file is its machine: 183 is AArch64. Byte 5 is its byte order: 2 is big endian.
for change in '18 \267 AArch64' '5 \002 endian'; do
    set -- $change
    cp "$GUESTS/hello.elf" "$work/other"
    printf "$2" | dd of="$work/other" bs=1 seek="$1" conv=notrunc status=none
    refused 125 "$work/other" "${record[@]}" --kernel "$work/other"
done
refused 125 'No such file' "${record[@]}" --kernel "$GUESTS/hello.elf" --initrd "$work/none"
refused 125 'empty' "${record[@]}" --kernel "$GUESTS/hello.elf" --initrd "$work/empty"
head -c 64M /dev/zero >"$work/large"
refused 125 'large' "${record[@]}" --kernel "$GUESTS/hello.elf" --initrd "$work/large" --memory 32M
[ ! -e "$work/t.hst" ] || fail "a refused kernel leaves a trace behind"

# Memory
for size in 0 -1 x '' 12Q 1.3K 99999999999999999999 0M 1000; do
    refused 2 '--memory' "${record[@]}" --kernel "$GUESTS/hello.elf" --memory "$size"
done
for size in 4K 64K; do
    hindsight "${record[@]}" --kernel "$GUESTS/hello.elf" --memory "$size"
    [ "$status" -eq 125 ] || [ "$status" -eq 2 ] || fail "--memory $size: status $status"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "--memory $size: more than one line"
done
for size in 1000T 15E; do
    hindsight "${record[@]}" --kernel "$GUESTS/hello.elf" --memory "$size"
    [ "$status" -eq 125 ] || [ "$status" -eq 2 ] || fail "--memory $size: status $status"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "--memory $size: more than one line"
done
refused 125 "$work/no/ram" "${record[@]}" --kernel "$GUESTS/hello.elf" --memory "file=$work/no/ram,size=16M"
refused 2 '--memory' "${record[@]}" --kernel "$GUESTS/hello.elf" --memory "file=$work/ram"
hindsight "${record[@]}" --kernel "$GUESTS/hello.elf" --memory 16M --memory "file=$work/ram,size=16M" --memory 1M
[ "$status" -eq 0 ] || fail "joined memory: status $status"
identical "$work/t.hst"
rm "$work/t.hst"

# Other options
refused 2 '--engine' record --engine fast --kernel "$GUESTS/hello.elf" -o "$work/t.hst"
refused 2 '--pace' "${record[@]}" --kernel "$GUESTS/hello.elf" --pace slow
refused 2 '--boot' "${record[@]}" --kernel "$GUESTS/hello.elf" --boot grub
refused 2 '--max-time' "${record[@]}" --kernel "$GUESTS/hello.elf" --max-time soon
refused 2 '--seed' "${record[@]}" --kernel "$GUESTS/hello.elf" --seed -3
refused 2 '--append' "${record[@]}" --kernel "$GUESTS/hello.elf" --append "$(printf 'x%.0s' $(seq 5000))"
refused 125 'serial' "${record[@]}" --kernel "$GUESTS/hello.elf" --serial floppy
refused 125 'serial' "${record[@]}" --kernel "$GUESTS/hello.elf" --serial "unix:$work/none"
refused 125 'serial' "${record[@]}" --kernel "$GUESTS/hello.elf" --serial "dev:$work/none"
refused 125 'serial' "${record[@]}" --kernel "$GUESTS/hello.elf" --serial "tcp:localhost:0x"
refused 2 'no kernel' record -o "$work/t.hst"
refused 2 '-o FILE' record --kernel "$GUESTS/hello.elf"
refused 125 "$work/no/t.hst" record --engine "$engine" --kernel "$GUESTS/hello.elf" -o "$work/no/t.hst"
refused 125 'irectory' record --engine "$engine" --kernel "$GUESTS/hello.elf" -o "$work"
for command in run record replay info dump verify strip extract doctor; do
    hindsight $command --no-such-option
    [ "$status" -eq 2 ] || fail "$command --no-such-option: status $status"
    hindsight $command surplus surplus surplus
    [ "$status" -eq 2 ] || fail "$command surplus: status $status"
done
hindsight
[ "$status" -eq 2 ] || fail "no command: status $status"
refused 2 'not a command' recrod
echo "wrong files, sizes and options: refused"

# /dev/kvm that is missing, something else, or not ours
if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2>/dev/null; then
    echo "no right to hide /dev/kvm here: those cases are left out"
    exit 0
fi
in_namespace()
{
    status=0
    unshare -m bash -c "$1 && exec \"\$@\"" - "$HINDSIGHT" run --engine kvm --kernel "$GUESTS/hello.elf" \
        >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" -eq 125 ] || fail "$1: status $status"
    grep -q -- "$2" "$work/err" || fail "$1: the message does not say '$2'"
    grep -q -- '--engine soft' "$work/err" || fail "$1: the message does not say what to do"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "$1: more than one line"
}
in_namespace 'mount -t tmpfs tmpfs /dev' '/dev/kvm is missing'
if [ -e /dev/kvm ]; then
    in_namespace 'mount --bind /dev/null /dev/kvm' '/dev/kvm'
    cp "$HINDSIGHT" "$work/hindsight"
    cp "$GUESTS/hello.elf" "$work/hello.elf"
    chmod 755 "$work" "$work/hindsight" "$work/hello.elf"
    status=0
    unshare -m bash -c 'mount -t tmpfs tmpfs /dev && mknod -m 600 /dev/kvm c 10 232 &&
        exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"' - \
        "$work/hindsight" run --engine kvm --kernel "$work/hello.elf" >"$work/out" 2>"$work/err" </dev/null ||
        status=$?
    [ "$status" -eq 125 ] || fail "unreadable /dev/kvm: status $status"
    grep -q 'no permission to open /dev/kvm.*kvm group' "$work/err" || fail "unreadable /dev/kvm: what to do?"
fi
# doctor says the same and is no failure; auto takes the software CPU.
unshare -m bash -c 'mount -t tmpfs tmpfs /dev && exec "$@"' - "$HINDSIGHT" doctor --json >"$work/out"
python3 - "$work/out" <<'PYTHON' || fail "doctor without /dev/kvm"
import json, sys
facts = json.load(open(sys.argv[1]))
assert facts["kvm"]["usable"] is False and "/dev/kvm" in facts["kvm"]["why"] and facts["auto"] == "soft"
PYTHON
echo "missing, wrong and unreadable /dev/kvm: refused with what to do"
