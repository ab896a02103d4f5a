#!/usr/bin/env bash
# Interrupts between the iterations of repeated string instructions, in ring 0 and ring 3. What an
# interrupt pushes there (RIP, RCX, RF) is part of what the repeat guest prints, and the engines have
# RF set at different moments: the replay has to take it from the recording, and no other bit, nowhere
# else.
source "$(dirname "$0")/common.bash"

# record_repeat ENGINE OPTIONS: records the guest, its console in $work/console.
record_repeat()
{
    hindsight record --engine "$1" --pace fast --kernel "$GUESTS/repeat.elf" --append "$2" -o "$work/repeat.hst"
    [ "$status" -eq 0 ] || fail "record repeat on $1, $2: status $status"
    grep -q '^repeat: done, fold [0-9a-f]*' "$work/out" || fail "repeat on $1, $2: not done"
    cp "$work/out" "$work/console"
}

# between RING: how many interrupts were taken between iterations there.
between()
{
    sed -n "s/^repeat: ring $1: [0-9]* ticks, \([0-9]*\) between iterations.*/\1/p" "$work/console"
}

# replays_alike TRACE: identical on all engines, and prints what was recorded.
replays_alike()
{
    local engine
    for engine in $(engines); do
        identical "$1" --engine "$engine" --console
        head -c "$(stat -c %s "$work/console")" "$work/out" | cmp -s - "$work/console" ||
            fail "repeat: the replay on $engine prints something else than the recorded run"
    done
}

for options in "hz=100000 rounds=2 user=2" "hz=200000 rounds=6 user=6 count=3001" "hz=400000 rounds=1 user=1"; do
    record_repeat soft "$options"
    [ "$(between 0)" -ge 5 ] && [ "$(between 3)" -ge 5 ] || fail "repeat on soft, $options: hardly interrupted"
    grep -q "^repeat: ring 0: .* $(between 0) with RF" "$work/console" || fail "repeat on soft: RF is not set"
    replays_alike "$work/repeat.hst"
done

needs_kvm
# The software CPU beside KVM looks for kicks between blocks only; KVM is hit anywhere.
export HINDSIGHT_KVM=alone
ring0=0
ring3=0
rounds=${ROUNDS:-4}
for ((round = 0; round < rounds; round++)); do
    record_repeat kvm "hz=$((1000 + 333 * round)) rounds=1 user=400 count=$((30000 - round * 1111))"
    ring0=$((ring0 + $(between 0)))
    ring3=$((ring3 + $(between 3)))
    replays_alike "$work/repeat.hst"
done
[ "$ring0" -ge $((5 * rounds)) ] || fail "repeat on kvm: $ring0 interrupts between iterations in ring 0"
[ "$ring3" -ge "$rounds" ] || fail "repeat on kvm: $ring3 interrupts between iterations in ring 3"

# A run that goes on from the middle keeps the landings before it, with their state.
hindsight fork "$work/repeat.hst" --at 50% --pace fast -o "$work/fork.hst"
[ "$status" -eq 0 ] || fail "fork of repeat: status $status"
identical "$work/fork.hst"
echo "repeat: $rounds recordings on kvm, $ring0 interrupts between iterations in ring 0, $ring3 in ring 3"
