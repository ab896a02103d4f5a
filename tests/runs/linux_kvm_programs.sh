#!/usr/bin/env bash
# Programs that see what a recording on KVM could get wrong, each under Debian's kernel: one that
# reads the time stamp counter in a loop, one that forks under memory pressure and looks at its
# accessed bits, one of 32 bits, one that changes its LDT, its bases of FS and GS and its address space
# all the time and has code in a large page. COUNT recordings of each with ring 3 on KVM when it stays long; of a whole boot with all
# but the second, one where it enters at every chance, of the last also under the monitor. All replay
# identically on both engines and print the same.
source "$(dirname "$0")/common.bash"
needs_kvm
source "$here/linux.bash"
cd "$work"
count=${COUNT:-1}

narrow=(-m32 -ffreestanding -fno-pic -fno-pie -no-pie -fno-stack-protector -fcf-protection=none
    -fno-asynchronous-unwind-tables -nostdlib)
for name in clock pressure narrow segments; do
    flags=(-O1 -Wall -Wextra -Werror -static)
    [ "$name" != narrow ] || flags+=("${narrow[@]}")
    gcc "${flags[@]}" -o "$name" "$root/guests/linux/$name.c" || fail "building $name.c"
done
autorun clock:/bin/clock pressure:/bin/pressure narrow:/bin/narrow segments:/bin/segments <<'GUEST'
mkswap /dev/vda >/dev/null && swapon /dev/vda
echo always >/sys/kernel/mm/transparent_hugepage/enabled
for word in $(cat /proc/cmdline); do
    case $word in
    program=*) $(echo "${word#program=}" | tr , ' ') && echo went well ;;
    esac
done
grep thp_fault_alloc /proc/vmstat
poweroff -f
GUEST
truncate -s 96M swap

# record_program WORDS: to t.hst and console.
record_program()
{
    hindsight record --engine kvm --memory 96M --kernel "$cache/vmlinuz" --initrd initrd --disk file=swap,snapshot=on \
        --pace fast --append "console=ttyS0 quiet program=$1" -o t.hst
    [ "$status" -eq 0 ] || fail "record $1: status $status"
    if ! "$HINDSIGHT" info t.hst | grep '^tsc *input' >tsc; then
        echo "skipped: this host's KVM executes ring 0, and RDTSC there cannot be stopped"
        exit 77
    fi
    grep 'went well' out >/dev/null || fail "$1: does not end well"
    cp out console
}

replays_alike()
{
    local engine
    for engine in kvm soft; do
        identical t.hst --engine "$engine" --console
        head -c "$(stat -c %s console)" out | cmp -s - console ||
            fail "$1: the replay on $engine prints something else than the recorded run"
    done
}

check_clock()
{
    record_program clock
    grep '^clock: 2000 reads, 0 times back' console >/dev/null || fail "clock: goes back"
    replays_alike clock
    echo "clock, $1: $(replayed_events) events"
}

check_narrow()
{
    record_program narrow
    grep '^narrow: done, wrong 00000000' console >/dev/null || fail "narrow: wrong answers"
    replays_alike narrow
    echo "narrow, $1: $(replayed_events) events"
}

check_segments()
{
    record_program segments,300
    grep '^segments: 300 rounds, wrong 0' console >/dev/null || fail "segments: wrong answers"
    grep '^segments: MXCSR mask 0xffff' console >/dev/null || fail "segments: FXSAVE shows the host"
    grep '^thp_fault_alloc [1-9]' console >/dev/null || fail "segments: no large page"
    replays_alike segments
    echo "segments, $1: $(replayed_events) events"
}

for round in $(seq "$count"); do
    check_clock "$round"
    check_narrow "$round"
    check_segments "$round"
    record_program pressure,24,4
    [ "$(sed -n 's/^pressure: pswpin \([0-9]*\)\r*$/\1/p' console)" -gt 1000 ] || fail "pressure: hardly swaps"
    replays_alike pressure
    echo "pressure, $round: $(replayed_events) events"
done
# Processes begin on KVM, too: what their C libraries ask the CPU must not be the host's.
export HINDSIGHT_KVM=eager
check_clock 'at every chance'
check_narrow 'at every chance'
check_segments 'at every chance'
HINDSIGHT_KVM=eager,monitor check_segments 'at every chance, under the monitor'
echo "RDTSC in a loop, 32 bits, LDT and addresses, memory pressure: $count recordings each, identical on kvm and soft"
