#!/usr/bin/env bash
# A trace that KVM recorded on another processor stops at the first transcendental x87 instruction whose
# result depends on the processor, and says why; one without any replays to its end.
source "$(dirname "$0")/common.bash"
record()
{
    hindsight record --engine soft --pace fast --kernel "$GUESTS/vendor.elf" --append "$1" -o "$work/own.hst"
    [ "$status" -eq 0 ] || fail "record vendor $1: status $status"
    python3 "$here/patch_header.py" "$work/own.hst" "$work/foreign.hst" other-kvm
    hindsight info "$work/foreign.hst"
    grep -q 'NobodysMaker family' "$work/out" || fail "info does not name the processor"
}

record 'rounds=2'
identical "$work/own.hst"
for native in off default eager; do
    export HINDSIGHT_NATIVE=$native
    refused 1 ': KVM recorded its result on NobodysMaker family ' \
        replay "$work/foreign.hst"
    grep -q "\<FSIN at 0x[0-9a-f]*: " "$work/err" || fail "it does not name the instruction"
    if grep -q diverged "$work/err" "$work/out"; then fail "it is called diverged"; fi
    unset HINDSIGHT_NATIVE
done
refused 1 'processors round it differently: replay the trace on a processor of that maker' \
    debug "$work/foreign.hst" --batch -ex 'seek end'

record 'rounds=2 x87=0'
identical "$work/foreign.hst"
echo "transcendental functions of another processor: refused where they are executed"

# What KVM recorded here has this processor's results, and replays with them.
if [ "$(first_engine)" = kvm ]; then
    hindsight record --engine kvm --pace fast --kernel "$GUESTS/vendor.elf" --append 'rounds=20' -o "$work/kvm.hst"
    [ "$status" -eq 0 ] || fail "record vendor on kvm: status $status"
    for native in off default eager; do
        export HINDSIGHT_NATIVE=$native
        identical "$work/kvm.hst" --engine soft
        unset HINDSIGHT_NATIVE
    done
    python3 "$here/patch_header.py" "$work/kvm.hst" "$work/foreign.hst" other-host
    refused 1 'KVM recorded its result on NobodysMaker' replay "$work/foreign.hst" --engine soft
    echo "transcendental functions of this processor: KVM's replay on the software CPU"
fi
