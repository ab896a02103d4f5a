#!/usr/bin/env bash
# Native code changes nothing: what one way of executing records, every other replays identically,
# with the same number of instructions. HINDSIGHT_NATIVE=off interprets everything, eager translates
# each block when it is first entered, and by default some are translated in mid-run.
source "$(dirname "$0")/common.bash"
ways=(off default eager)

# in_way WAY ARGUMENT...: hindsight, executing so.
in_way()
{
    export HINDSIGHT_NATIVE=$1
    hindsight "${@:2}"
    unset HINDSIGHT_NATIVE
}

# crosswise NAME ARGUMENT...: every way records, every way replays.
crosswise()
{
    local name=$1 way again wanted=
    shift
    for way in "${ways[@]}"; do
        in_way "$way" record --engine soft --pace fast "$@" -o "$work/$way.hst"
        for again in "${ways[@]}"; do
            in_way "$again" replay "$work/$way.hst"
            [ "$status" -eq 0 ] || fail "$name recorded $way, replayed $again: status $status"
            grep -q '^identical' "$work/out" || fail "$name recorded $way, replayed $again"
        done
    done
    echo "$name: identical each way"
}

# deterministic NAME ARGUMENT...: nothing comes from outside, so the recordings are the same, too.
deterministic()
{
    local way
    crosswise "$@" --serial null
    for way in "${ways[@]}"; do
        hindsight dump "$work/$way.hst"
        [ "$status" -eq 0 ] || fail "$1 recorded $way: dump: status $status"
        mv "$work/out" "$work/$way.dump"
        cmp -s "$work/$way.dump" "$work/off.dump" || fail "$1 recorded $way is another run"
    done
}

for guest in hello cpu_faults cpu_gates cpu_paging cpu_smc cpu_step cpu_apic cpu_deadline; do
    deterministic "$guest" --kernel "$GUESTS/$guest.elf"
done
deterministic compute --kernel "$GUESTS/compute.elf" --append limit=100000
deterministic spin --kernel "$GUESTS/spin.elf" --append "loops=3000000 hz=1000"
deterministic pio --kernel "$GUESTS/pio.elf" --append "count=2000 in=1 port=0x2f0 ring=3"
crosswise ports --kernel "$GUESTS/ports.elf"
crosswise crash --kernel "$GUESTS/crash.elf" --append "ticks=400 hz=20000"
crosswise clock --kernel "$GUESTS/clock.elf" --append ticks=30

( source "$here/linux.bash" ) >/dev/null || exit 0
source "$here/linux.bash"
initramfs
crosswise linux "${machine[@]:2}" --append "console=ttyS0 run=poweroff,-f"
