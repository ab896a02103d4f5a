#!/bin/sh
# Executed in the lab by busybox: records guests on its KVM and replays each on KVM and on the software CPU.
# guests.sh FOLDER [NAME]...: all by default. One line for each, "NAME: N events, kvm RESULT, soft RESULT"; RESULT
# is `identical`, the event at which they part, or `shadow lost` where nothing but STI's shadow differs, which TCG
# forgets (entry.c). PROGRAM is hindsight or hindsight_tcg, ENGINES what replays. The traces and what was printed go
# to FOLDER. Status 1: a guest did not end as it should.
program=${PROGRAM:-hindsight}
engines=${ENGINES:-kvm soft}
out=$1
shift
mkdir -p "$out"
failed=0

# replayed NAME ENGINE: the result, nothing if it has no end (a landing that is not found in a guest that goes on
# for ever); what was said is in NAME.ENGINE.
replayed()
{
    if timeout 300 "$program" replay "$out/$1.hst" --engine "$2" >"$out/$1.$2" 2>&1; then
        echo identical
    elif sed -n '/recorded, replayed:$/{n;N;p}' "$out/$1.$2" | tr '\n' ' ' | grep -q '^sti_shadow  0x0  0x1 last '; then
        echo shadow lost
    else
        sed -n 's/^diverged at event \([0-9]*\).*/event \1/p' "$out/$1.$2"
    fi
}

# record NAME ARGUMENT...
record()
{
    record_name=$1
    shift
    "$program" record --engine kvm --pace fast "$@" -o "$out/$record_name.hst" \
        >"$out/$record_name.console" 2>"$out/$record_name.errors" <"$input"
}

wanted()
{
    case " ${names:-$1} " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

# finish NAME STATUS STATUSES: which of them it may be.
finish()
{
    case " $3 " in
    *" $2 "*) ;;
    *)
        echo "$1: status $2, not $3: $(tail -n 1 "$out/$1.errors")"
        failed=1
        return
        ;;
    esac
    events=$("$program" info "$out/$1.hst" | sed -n 's/^events *\([0-9]*\).*/\1/p')
    line="$1: $events events"
    for engine in $engines; do
        line="$line, $engine $(replayed "$1" $engine)"
    done
    echo "$line"
}

# guest NAME STATUSES ARGUMENT...
guest()
{
    name=$1 statuses=$2
    shift 2
    wanted "$name" || return 0
    status=0
    record "$name" "$@" || status=$?
    finish "$name" "$status" "$statuses"
}

names=$*
input=/dev/null
for name in hello values ports entropy cpu_smc cpu_apic moves; do
    guest $name 0 --kernel /guests/$name.elf
done
# A deadline may be past before the guest has looked at it: the software CPU is slow in there.
guest cpu_deadline '0 3' --kernel /guests/cpu_deadline.elf
# What TCG does otherwise than the manuals (docs/kvm-testing.md) they find, and KVM does not enter one of the
# states that TCG lets a guest get into.
guest cpu_faults '0 3 125' --kernel /guests/cpu_faults.elf
# Without that state; and what TCG does as the manuals say but for RF.
guest cpu_faults_rest '0 3' --kernel /guests/cpu_faults.elf --append parts=0x77
guest cpu_faults_exact 0 --kernel /guests/cpu_faults.elf --append parts=1
guest cpu_gates '0 3' --kernel /guests/cpu_gates.elf
guest cpu_paging '0 3' --kernel /guests/cpu_paging.elf
guest cpu_step '0 3' --kernel /guests/cpu_step.elf --append parts=0x2fff
printf 'abc\177\177z\ranother line\rq\r' >/tmp/typed
input=/tmp/typed
guest echo 0 --kernel /guests/echo.elf
printf 'some bytes\004' >/tmp/pasted
input=/tmp/pasted
guest paste 0 --kernel /guests/paste.elf
input=/dev/null
guest clock 0 --kernel /guests/clock.elf --append ticks=30
guest compute 0 --kernel /guests/compute.elf --append limit=100000
guest crash '0 85' --kernel /guests/crash.elf --append 'ticks=60 hz=1000'
guest crash_fixed 0 --kernel /guests/crash_fixed.elf --append 'ticks=60 hz=1000'
guest pio 0 --kernel /guests/pio.elf --append 'count=500 in=1 port=0x2f0'
guest pio_ring3 0 --kernel /guests/pio.elf --append 'count=500 in=1 port=0x2f0 ring=3'
guest spin 0 --kernel /guests/spin.elf --append 'loops=5000000 hz=1000'
guest repeat 0 --kernel /guests/repeat.elf --append 'rounds=1 user=100'
guest starve 0 --kernel /guests/starve.elf
guest helped 0 --kernel /guests/helped.elf
guest tsc 0 --kernel /guests/tsc.elf --append 'reads=100 spin=1000'
guest bench_cpu 1 --kernel /guests/bench_cpu.elf --append 'load=1 rounds=2'
guest vendor 0 --kernel /guests/vendor.elf --append 'rounds=50 x87=0 strings=0'
dd if=/dev/zero of=/tmp/disk bs=1M count=4 2>/dev/null
guest disk 0 --kernel /guests/disk.elf --disk file=/tmp/disk --append passes=1
if wanted net; then
    ifconfig lo 127.0.0.1 up
    for side in 1 2; do
        record net$side --kernel /guests/net.elf --append "count=20 id=$side" \
            --net link=udp:4000$side:127.0.0.1:4000$((3 - side)) &
        [ $side = 2 ] || first=$!
    done
    second=$! status=0
    wait $first || status=$?
    finish net1 $status 0
    status=0
    wait $second || status=$?
    finish net2 $status 0
fi
exit $failed
