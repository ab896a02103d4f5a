#!/usr/bin/env bash
# Interrupts in computation that makes no exits. The spin guest computes in ring 3 for seconds while
# the PIT asks for interrupts; recorded on KVM, they can only come from kicks at arbitrary
# instructions, and the replay has to find every one of these places. The crash guest's window is hit
# by them, too.
source "$(dirname "$0")/common.bash"
needs_kvm

# landings TRACE: how many it has.
landings()
{
    local count
    hindsight info "$1"
    count=$(sed -n 's/^ *event landing *\([0-9]*\)$/\1/p' "$work/out")
    echo "${count:-0}"
}

# both TRACE: identical on both engines.
both()
{
    identical "$1" --engine soft
    identical "$1" --engine kvm
}

# record_spin OPTIONS: records it, its console in $work/console.
record_spin()
{
    hindsight record --engine kvm --pace fast --kernel "$GUESTS/spin.elf" --append "$1" -o "$work/spin.hst"
    [ "$status" -eq 0 ] || fail "record spin $1: status $status"
    cp "$work/out" "$work/console"
}

# Seconds at 100 Hz. The PIT's ticks are what the landings are for; one that is late swallows the next.
record_spin "loops=${LOOPS:-100000000}"
grep -q '^spin: result [0-9a-f]* after [1-9][0-9]* ticks' "$work/console" || fail "spin: no result or no ticks"
count=$(landings "$work/spin.hst")
[ "$count" -ge 10 ] || fail "spin: only $count landings in seconds of computation"
both "$work/spin.hst"
identical "$work/spin.hst" --console
head -c "$(stat -c %s "$work/console")" "$work/out" | cmp -s - "$work/console" ||
    fail "spin: the replay prints something else than the recorded run"
echo "spin: $count landings, identical"

# Many passes of a loop with equal registers: memory decides which of them it was.
total=0
for round in 1 2 3; do
    record_spin "loops=1000 passes=40000000 hz=1000"
    total=$((total + $(landings "$work/spin.hst")))
    both "$work/spin.hst"
done
[ "$total" -ge 1 ] || fail "spin: no landing in the loop with equal registers"
echo "spin with equal registers: $total landings, identical"

# Stretches in which the software CPU helps out where this host's KVM fails: a landing names the pages
# that either wrote, not all of memory. (Where ring 0 does not run on KVM at all, there are none.)
export HINDSIGHT_KVM=alone
hindsight run --engine soft --pace fast --kernel "$GUESTS/helped.elf"
[ "$status" -eq 0 ] || fail "helped on soft: status $status"
sum=$(grep '^helped: sum' "$work/out")
for round in 1 2 3; do
    hindsight record --engine kvm --pace fast --kernel "$GUESTS/helped.elf" -o "$work/helped.hst"
    [ "$status" -eq 0 ] || fail "record helped: status $status"
    grep -qF "$sum" "$work/out" || fail "helped: another sum than on the software CPU"
    count=$(landings "$work/helped.hst")
    [ "$count" -ge 1 ] || fail "helped: no landing"
    bytes=$(sed -n 's/^ *input landing .* records *\([0-9]*\) bytes$/\1/p' "$work/out")
    [ $((bytes / count)) -lt 16384 ] || fail "helped: $bytes bytes for $count landings"
    both "$work/helped.hst"
done
unset HINDSIGHT_KVM
echo "helped: $count landings of $((bytes / count)) bytes, identical"

total=0
for round in 1 2 3; do
    hindsight record --engine kvm --pace fast --kernel "$GUESTS/crash.elf" --append "ticks=400 hz=1000" \
        -o "$work/crash.hst"
    [ "$status" -eq 0 ] || [ "$status" -eq 85 ] || fail "record crash: status $status"
    total=$((total + $(landings "$work/crash.hst")))
    both "$work/crash.hst"
done
echo "crash: $total landings, identical"
