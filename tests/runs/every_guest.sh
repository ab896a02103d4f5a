#!/usr/bin/env bash
# Every guest, recorded COUNT times on each engine, replays identically on both. On KVM also with
# ring 3 entering it at every chance, where the host's KVM does not execute ring 0 exactly. The net
# guest has a run of its own, net.sh.
source "$(dirname "$0")/common.bash"
rounds=${COUNT:-1}
input=/dev/null

# record ARGUMENT...: to $work/t.hst, with $input typed.
record()
{
    status=0
    timeout -k 5 "${LIMIT:-90}" "$HINDSIGHT" record --pace fast "$@" -o "$work/t.hst" \
        >"$work/out" 2>"$work/err" <"$input" || status=$?
    [ "$status" -eq 0 ] || { [[ "$*" == *crash.elf* ]] && [ "$status" -eq 85 ]; } ||
        fail "record $*: status $status"
}

# every NAME ARGUMENT...
every()
{
    local name=$1 engine modes mode other round recordings=0
    shift
    for engine in $(engines); do
        modes=default
        [ "$engine" != kvm ] || modes='default eager'
        for mode in $modes; do
            export HINDSIGHT_KVM=$mode
            for round in $(seq "$rounds"); do
                record --engine "$engine" "$@"
                for other in $(engines); do
                    identical "$work/t.hst" --engine "$other"
                done
                recordings=$((recordings + 1))
            done
        done
    done
    unset HINDSIGHT_KVM
    echo "$name: $recordings recordings identical"
}

for guest in hello values ports entropy cpu_faults cpu_gates cpu_paging cpu_smc cpu_step cpu_apic; do
    every "$guest" --kernel "$GUESTS/$guest.elf"
done
printf 'abc\x7f\x7fz\ranother line\rq\r' >"$work/typed"
input=$work/typed
every echo --kernel "$GUESTS/echo.elf"
input=/dev/null
every clock --kernel "$GUESTS/clock.elf" --append ticks=30
every compute --kernel "$GUESTS/compute.elf" --append limit=100000
# The software CPU's time is its instructions: far more exits fit in a tick of 1 ms than on KVM.
every crash --kernel "$GUESTS/crash.elf" --append "ticks=60 hz=10000"
every pio --kernel "$GUESTS/pio.elf" --append "count=500 in=1 port=0x2f0"
every 'pio in ring 3' --kernel "$GUESTS/pio.elf" --append "count=500 in=1 port=0x2f0 ring=3"
every spin --kernel "$GUESTS/spin.elf" --append "loops=20000000 hz=1000"
every repeat --kernel "$GUESTS/repeat.elf"
every starve --kernel "$GUESTS/starve.elf"
every helped --kernel "$GUESTS/helped.elf"
head -c 4M /dev/zero >"$work/disk"
every disk --kernel "$GUESTS/disk.elf" --disk "file=$work/disk"
