#!/usr/bin/env bash
# Every guest does what it says, on each engine this host has and by each way of booting. The
# expected results come from outside: the Collatz record (OEIS A006877) and a second computation of
# the spin guest's generator in Python.
set -euo pipefail
: "${HINDSIGHT:?}" "${GUESTS:?}"
[ -x "$HINDSIGHT" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail()
{
    echo "FAIL: $*" >&2
    cat "$work/out" >&2
    exit 1
}

# expect STATUS TEXT ARGUMENT...: runs, and wants this status and this text on the console.
expect()
{
    local status=0 wanted=$1 text=$2
    shift 2
    timeout 120 "$HINDSIGHT" run --pace fast "$@" >"$work/out" 2>"$work/err" <"$work/in" || status=$?
    cat "$work/err" >>"$work/out"
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    grep -qF -- "$text" "$work/out" || fail "$*: no '$text'"
}

spin_result()
{
    python3 - "$1" <<'PYTHON'
import sys
mask, x, table = 2**64 - 1, 88172645463325252, [0] * 512
for i in range(int(sys.argv[1])):
    x ^= x << 13 & mask
    x ^= x >> 7
    x ^= x << 17 & mask
    table[i % 512] ^= x
for value in table:
    x = x * 31 + value & mask
print(f"{x:016x}")
PYTHON
}

engines=(soft)
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    engines+=(kvm)
fi
spun=$(spin_result 100000)
: >"$work/empty"
cp "$work/empty" "$work/in"
for engine in "${engines[@]}"; do
    on=(--engine "$engine")
    expect 0 'booted by ELF64, command line "a b=1"' "${on[@]}" --kernel "$GUESTS/hello.elf" --boot elf64 --append 'a b=1'
    expect 0 'booted by Multiboot, command line "hello.elf a b=1"' "${on[@]}" --kernel "$GUESTS/hello.elf" --append 'a b=1'
    expect 0 'booted by PVH' "${on[@]}" --kernel "$GUESTS/hello.elf" --boot pvh
    expect 0 'booted by Multiboot' "${on[@]}" --kernel "$GUESTS/hello.elf" --boot multiboot
    head -c 5000 /dev/zero >"$work/initrd"
    for boot in elf64 pvh multiboot; do
        expect 0 'initrd 5000 bytes' "${on[@]}" --kernel "$GUESTS/hello.elf" --boot $boot --initrd "$work/initrd"
    done
    expect 0 'clock: done' "${on[@]}" --kernel "$GUESTS/clock.elf" --append ticks=30
    expect 0 'unclaimed memory reads ffffffffffffffff' "${on[@]}" --kernel "$GUESTS/ports.elf"
    expect 0 '77031 with 350 steps' "${on[@]}" --kernel "$GUESTS/compute.elf" --append limit=100000
    expect 0 "result $spun" "${on[@]}" --kernel "$GUESTS/spin.elf" --append loops=100000
    expect 0 'sum 255000' "${on[@]}" --kernel "$GUESTS/pio.elf" --append 'count=1000 in=1 port=0x2f0'
    expect 0 'sum 255000' "${on[@]}" --kernel "$GUESTS/pio.elf" --append 'count=1000 in=1 port=0x2f0 ring=3'
    printf 'abc\x7f\x7fz\rq\r' >"$work/in"
    expect 0 'you typed 2 characters: az' "${on[@]}" --kernel "$GUESTS/echo.elf"
    cp "$work/empty" "$work/in"
    # 2000 ticks at 1 in 300: surviving has odds of about one in 800; three attempts.
    for attempt in 1 2 3; do
        status=0
        timeout 200 "$HINDSIGHT" run "${on[@]}" --kernel "$GUESTS/crash.elf" --append ticks=2000 \
            >"$work/out" 2>&1 </dev/null || status=$?
        [ "$status" -eq 0 ] || break
    done
    [ "$status" -eq 85 ] || fail "crash on $engine: status $status in attempt $attempt"
    grep -q '^panic: ' "$work/out" || fail "crash on $engine: no panic"
done
echo "guests: ok on ${engines[*]}"
