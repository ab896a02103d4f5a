#!/usr/bin/env bash
# Stock kvm-amd, on any host: under a Linux kernel in an emulated machine with SVM, `doctor` finds a KVM that
# executes ring 0, and guests recorded on it replay on it, on the software CPU beside it, and here. What the
# emulator computes otherwise than a CPU (tests/lab/README.md) is left out.
ENGINES=soft source "$(dirname "$0")/common.bash"
# What runs in there differs from what the emulator promises in undefined flags: replayed inside alone.
everywhere='hello values cpu_smc echo paste compute pio pio_ring3'
inside='cpu_step spin repeat starve'
status=0
LAB_TIMEOUT=780 bash "$here/../lab/svm.sh" -o "$work/lab" -f "$here/../lab/guests.sh" "$BUILD" \
    "hindsight doctor; sh /x/guests.sh $everywhere $inside" >"$work/out" 2>"$work/err" || status=$?
if [ "$status" -eq 77 ]; then
    tail -n 1 "$work/out"
    exit 77
fi
[ "$status" -eq 0 ] || fail "the lab: status $status"
tr -d '\r' <"$work/out" >"$work/lab.out"
for text in '^kvm  *usable$' '^interrupt at an exit  *precise$' '^kick while computing  *lands$' \
    '^SSE in ring 0  *yes$' '^  CPUID  *exact  *exact$'; do
    grep -q "$text" "$work/lab.out" || fail "doctor: no '$text'"
done
for guest in $inside; do
    grep -q "^$guest: [0-9]* events, kvm identical," "$work/lab.out" || fail "$guest: not identical on KVM"
done
for guest in $everywhere; do
    grep -q "^$guest: [0-9]* events, kvm identical, soft identical$" "$work/lab.out" || fail "$guest: not identical inside"
    identical "$work/lab/$guest.hst"
    [ "$(replayed_events)" = "$(sed -n "s/^$guest: \([0-9]*\) events.*/\1/p" "$work/lab.out")" ] ||
        fail "$guest: not all events"
done
grep -E '^[a-z0-9_]+: [0-9]+ events' "$work/lab.out"
echo "recorded on stock kvm-amd: identical there, and $(set -- $everywhere; echo $#) of them here"
