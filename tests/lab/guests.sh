#!/bin/sh
# Executed in the lab by busybox: records guests on its KVM and replays each on KVM and on the software CPU.
# guests.sh [NAME]...: all by default. One line for each, "NAME: N events, kvm RESULT, soft RESULT"; RESULT is
# `identical` or the number of the event at which they part, and the traces go to /out. Status 1: one could not
# be recorded, or does not replay on the KVM that recorded it.
out=${OUT:-/out}
failed=0

# replayed TRACE ENGINE: the result; what was said is in NAME.ENGINE.
replayed()
{
    if hindsight replay "$1.hst" --engine "$2" >"$1.$2" 2>&1; then
        echo identical
    else
        sed -n 's/^diverged at event \([0-9]*\).*/event \1/p' "$1.$2" | head -n 1
    fi
}

# guest NAME STATUS ARGUMENT...: wants this status of it.
guest()
{
    name=$1 wanted=$2
    shift 2
    case " ${names:-$name} " in
    *" $name "*) ;;
    *) return ;;
    esac
    status=0
    hindsight record --engine kvm --pace fast "$@" -o "$out/$name.hst" >"$out/$name.console" 2>"$out/$name.errors" <"${input:-/dev/null}" ||
        status=$?
    if [ "$status" -ne "$wanted" ]; then
        echo "$name: status $status, not $wanted: $(tail -n 1 "$out/$name.errors")"
        failed=1
        return
    fi
    kvm=$(replayed "$out/$name" kvm)
    soft=$(replayed "$out/$name" soft)
    events=$(hindsight info "$out/$name.hst" | sed -n 's/^events *\([0-9]*\).*/\1/p')
    echo "$name: $events events, kvm $kvm, soft $soft"
    [ "$kvm" = identical ] || failed=1
}

names=$*
for name in hello values ports entropy cpu_faults cpu_gates cpu_paging cpu_smc cpu_step cpu_apic; do
    guest $name 0 --kernel /guests/$name.elf
done
printf 'abc\177\177z\ranother line\rq\r' >/tmp/typed
input=/tmp/typed
guest echo 0 --kernel /guests/echo.elf
printf 'some bytes\004' >/tmp/pasted
input=/tmp/pasted
guest paste 0 --kernel /guests/paste.elf
input=/dev/null
guest clock 0 --kernel /guests/clock.elf --append ticks=30
guest compute 0 --kernel /guests/compute.elf --append limit=100000
guest crash_fixed 0 --kernel /guests/crash_fixed.elf --append 'ticks=60 hz=1000'
guest pio 0 --kernel /guests/pio.elf --append 'count=500 in=1 port=0x2f0'
guest pio_ring3 0 --kernel /guests/pio.elf --append 'count=500 in=1 port=0x2f0 ring=3'
guest spin 0 --kernel /guests/spin.elf --append 'loops=5000000 hz=1000'
guest repeat 0 --kernel /guests/repeat.elf --append 'rounds=1 user=100'
guest starve 0 --kernel /guests/starve.elf
guest helped 0 --kernel /guests/helped.elf
guest moves 0 --kernel /guests/moves.elf
guest vendor 0 --kernel /guests/vendor.elf --append 'rounds=50 x87=0'
dd if=/dev/zero of=/tmp/disk bs=1M count=4 2>/dev/null
guest disk 0 --kernel /guests/disk.elf --disk file=/tmp/disk --append passes=1
exit $failed
