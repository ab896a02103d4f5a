#!/usr/bin/env bash
# Every guest recorded on KVM replays identically on KVM and on the software CPU; where the host's
# KVM does not execute ring 0 exactly, also with ring 3 entering KVM at every chance.
source "$(dirname "$0")/common.bash"
if [[ " $(engines) " != *" kvm "* ]]; then
    echo "skipped: no usable /dev/kvm"
    exit 77
fi
rounds=${COUNT:-1}

# both NAME ARGUMENT...
both()
{
    local name=$1 round mode
    shift
    for mode in default eager; do
        export HINDSIGHT_KVM=$mode
        for round in $(seq "$rounds"); do
            hindsight record --engine kvm --pace fast "$@" -o "$work/t.hst"
            identical "$work/t.hst" --engine kvm
            identical "$work/t.hst" --engine soft
        done
    done
    unset HINDSIGHT_KVM
    echo "$name: $((2 * rounds)) recordings identical on both engines"
}

for guest in hello ports echo entropy cpu_faults cpu_gates cpu_paging cpu_smc cpu_step cpu_apic; do
    both "$guest" --kernel "$GUESTS/$guest.elf"
done
both clock --kernel "$GUESTS/clock.elf" --append ticks=30
both compute --kernel "$GUESTS/compute.elf" --append limit=100000
both crash --kernel "$GUESTS/crash.elf" --append "ticks=400 hz=1000"
both pio --kernel "$GUESTS/pio.elf" --append "count=500 in=1 port=0x2f0"
both 'pio in ring 3' --kernel "$GUESTS/pio.elf" --append "count=500 in=1 port=0x2f0 ring=3"
both spin --kernel "$GUESTS/spin.elf" --append "loops=20000000 hz=1000"
both repeat --kernel "$GUESTS/repeat.elf"
both helped --kernel "$GUESTS/helped.elf"
head -c 4M /dev/zero >"$work/disk"
both disk --kernel "$GUESTS/disk.elf" --disk "file=$work/disk"
