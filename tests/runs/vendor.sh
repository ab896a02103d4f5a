#!/usr/bin/env bash
# What the makers of processors do differently: under each maker's rules the software CPU gives the
# numbers that are kept here, on every host, native code or not; KVM gives those of its host's maker.
source "$(dirname "$0")/common.bash"
guest=(--pace fast --kernel "$GUESTS/vendor.elf")

# same_output FILE: what the guest printed is what is kept.
same_output()
{
    tr -d '\r' <"$work/out" | diff - "$1" >"$work/err" || fail "$1: other numbers"
}

for rules in amd intel; do
    for recorded in off default eager; do
        HINDSIGHT_NATIVE=$recorded hindsight record --engine soft --cpu-rules "$rules" "${guest[@]}" \
            -o "$work/$rules.$recorded.hst"
        [ "$status" -eq 0 ] || fail "record $rules $recorded: status $status"
        same_output "$here/vendor_$rules.txt"
        for replayed in off default eager; do
            export HINDSIGHT_NATIVE=$replayed
            identical "$work/$rules.$recorded.hst" --engine soft
            unset HINDSIGHT_NATIVE
        done
    done
    "$(dirname "$HINDSIGHT")/timeline_walk" "$work/$rules.default.hst" "${MOVES:-40}" 7 >"$work/out" 2>"$work/err" ||
        fail "timeline_walk $rules: stops differ from a straight replay"
done
cmp -s "$here/vendor_amd.txt" "$here/vendor_intel.txt" && fail "both makers' numbers are the same"
echo "vendor: both makers' numbers, native code or not"

# Transcendental functions are the host's own on KVM.
hindsight doctor --json
host=$(sed -n 's/.*"cpu_rules": "\([a-z]*\) .*/\1/p' "$work/out")
[[ " $(engines) " == *" kvm "* ]] || exit 0
grep -v '^functions' "$here/vendor_$host.txt" >"$work/wanted"
for mode in default eager; do
    export HINDSIGHT_KVM=$mode
    hindsight record --engine kvm "${guest[@]}" --append x87=0 -o "$work/kvm.hst"
    [ "$status" -eq 0 ] || fail "record kvm $mode: status $status"
    same_output "$work/wanted"
    identical "$work/kvm.hst" --engine kvm
    identical "$work/kvm.hst" --engine soft
    unset HINDSIGHT_KVM
done
echo "vendor: KVM on this host follows the rules '$host'"
