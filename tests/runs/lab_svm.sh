#!/usr/bin/env bash
# Stock kvm-amd, on any host: under a Linux kernel in an emulated machine with SVM, `doctor` finds a KVM that
# executes ring 0; ring 3 under the monitor does as on the software CPU; guests recorded on it natively, and with ring 3
# under the monitor, replay on it, and here on the software CPU. Where the emulator is no exact CPU
# (docs/kvm-testing.md): hindsight_tcg knows its undefined results, and what it does to the guests that check the CPU it
# also does without KVM and hindsight.
ENGINES=soft source "$(dirname "$0")/common.bash"
lab=$here/../lab
tcg=$(dirname "$HINDSIGHT")/hindsight_tcg
# Of ring 0 and ring 3 on KVM. Undefined results matter in some, in some not.
plain='hello values cpu_smc echo paste compute pio pio_ring3'
flags='ports entropy cpu_apic cpu_deadline clock crash crash_fixed spin repeat starve helped bench_cpu disk net1 net2 vendor'
# These find the emulator inexact.
inexact='cpu_faults cpu_gates cpu_paging cpu_step'
# There the time stamp counter is an input. These have a ring 3 that runs on KVM, but for moves and hello.
monitor='hello moves vendor tsc pio_ring3'

status=0
export LAB_TIMEOUT=2000
bash "$lab/svm.sh" -o "$work/lab" -f "$lab/guests.sh" -f "$BUILD/bin/test_paired" -f "$BUILD/bin/lab_runs.so" "$BUILD" "
    hindsight doctor
    test_paired || exit 1
    export PROGRAM=hindsight_tcg ENGINES=kvm
    HINDSIGHT_KVM=alone sh /x/guests.sh /out/alone $plain $flags $inexact net && echo monitor: &&
    HINDSIGHT_KVM=eager LD_PRELOAD=/x/lab_runs.so sh /x/guests.sh /out/monitor $monitor" >"$work/out" 2>"$work/err" || status=$?
if [ "$status" -eq 77 ]; then
    tail -n 1 "$work/out"
    exit 77
fi
[ "$status" -eq 0 ] || { cat "$work/out"; fail "the lab: status $status"; }
tr -d '\r' <"$work/out" >"$work/lab.out"
for text in '^kvm  *usable$' '^interrupt at an exit  *precise$' '^kick while computing  *lands$' '^SSE in ring 0  *yes$'; do
    grep -q "$text" "$work/lab.out" || { cat "$work/lab.out"; fail "doctor: no '$text'"; }
done
sed '/^monitor:$/,$d' "$work/lab.out" >"$work/alone"
sed '1,/^monitor:$/d' "$work/lab.out" >"$work/monitor"

# here PROGRAM MODE GUEST: it replays here to its end.
here()
{
    local trace=$work/lab/$2/$3.hst
    timeout 300 "$1" replay "$trace" --engine soft >"$work/out" 2>&1 ||
        fail "$3, $2: not identical here"
    grep -q "^identical: $(sed -n "s/^$3: \([0-9]*\) events.*/\1/p" "$work/$2") events" "$work/out" ||
        fail "$3, $2: not all events"
}

lost=0
for guest in $plain $flags; do
    if grep -q "^$guest: [0-9]* events, kvm shadow lost$" "$work/alone"; then
        lost=$((lost + 1))
        continue
    fi
    grep -q "^$guest: [0-9]* events, kvm identical$" "$work/alone" || { cat "$work/alone"; fail "$guest: not identical on KVM"; }
    here "$tcg" alone "$guest"
done
for guest in $inexact; do
    grep -q "^$guest: [0-9]* events, kvm identical$" "$work/alone" || { cat "$work/alone"; fail "$guest: not identical on KVM"; }
done
for guest in $monitor; do
    grep -q "^$guest: [0-9]* events, kvm identical$" "$work/monitor" || { cat "$work/monitor"; fail "$guest: not identical under the monitor"; }
    here "$tcg" monitor "$guest"
done
# entries GUEST: how often its recording entered KVM. hello's are those that find out what KVM does.
entries()
{
    sed -n 's/^KVM_RUN //p' "$work/lab/monitor/$1.errors"
}
for guest in vendor tsc pio_ring3; do
    [ "$(entries $guest)" -gt "$(entries hello)" ] || fail "$guest: ring 3 did not run on KVM"
done
for guest in $plain; do
    here "$HINDSIGHT" alone "$guest"
done
[ "$lost" -le 3 ] || fail "STI's shadow was lost in $lost guests"
grep -q '^ok step of HLT' "$work/lab/alone/cpu_step.console" || fail "a single step does not end HLT"

# The checks that fail there, without their addresses, which depend on options.
failures()
{
    tr -d '\r' <"$1" | sed -n 's/^FAILED \(.*\): .* instead of .*/\1/p'
}
for guest in cpu_gates cpu_paging cpu_step; do
    bash "$lab/tcg.sh" "$GUESTS/$guest.elf" parts=0x2fef >"$work/direct" || fail "$guest: does not run in TCG alone"
    failures "$work/direct" >"$work/expected"
    failures "$work/lab/alone/$guest.console" >"$work/found"
    [ -s "$work/expected" ] || fail "$guest: TCG is exact now: docs/kvm-testing.md"
    [ -z "$(grep -vxFf "$work/expected" "$work/found" || true)" ] || fail "$guest: fails in what TCG alone passes: $(cat "$work/found")"
done
cat "$work/alone" "$work/monitor" | grep -E '^[a-z0-9_]+: [0-9]+ events'
echo "on stock kvm-amd and here: $(echo $plain $flags | wc -w) guests identical, $lost of them but for STI's shadow, and $(echo $monitor | wc -w) under the monitor"
