#!/usr/bin/env bash
# The time stamp counter: a guest that reads it in every way, in ring 0 and in ring 3 among long
# computation, prints what it read. On the software CPU it is a function of the instructions; where KVM
# leaves ring 0 to the software CPU every read is an input, on KVM and off it.
source "$(dirname "$0")/common.bash"

record_tsc()
{
    hindsight record --engine "$1" --pace fast --kernel "$GUESTS/$2.elf" --append "$3" -o "$work/t.hst"
    [ "$status" -eq 0 ] || fail "record $2 on $1: status $status"
    cp "$work/out" "$work/console"
}

prints_the_same()
{
    identical "$work/t.hst" --engine "$1" --console
    head -c "$(stat -c %s "$work/console")" "$work/out" | cmp -s - "$work/console" ||
        fail "the replay on $1 prints something else than the recorded run"
}

record_tsc soft tsc ''
prints_the_same soft
! "$HINDSIGHT" info "$work/t.hst" | grep -q 'event tsc' || fail "soft: the counter is an input"
needs_kvm
record_tsc kvm tsc ''
if ! "$HINDSIGHT" info "$work/t.hst" | grep -q 'event tsc'; then
    echo "skipped: this host's KVM executes ring 0, and RDTSC there cannot be stopped"
    exit 77
fi
for mode in default eager; do
    export HINDSIGHT_KVM=$mode
    for options in '' 'reads=40 spin=4000000' 'reads=2000 spin=100'; do
        record_tsc kvm tsc "$options"
        prints_the_same soft
        prints_the_same kvm
    done
done
unset HINDSIGHT_KVM
record_tsc kvm cpu_deadline ''
prints_the_same soft
prints_the_same kvm
record_tsc kvm tsc 'reads=2000 spin=100'
bytes=$("$HINDSIGHT" info "$work/t.hst" | sed -n 's/^ *input tsc *\([0-9]*\) records *\([0-9]*\) bytes$/\1 \2/p')
set -- $bytes
[ "$1" -ge 10000 ] && [ "$2" -le $((2 * $1)) ] || fail "tsc: $1 reads take $2 bytes"
# A run that goes on from the middle answers as before, then anew.
hindsight fork "$work/t.hst" --at 50% --pace fast -o "$work/fork.hst"
[ "$status" -eq 0 ] || fail "fork of tsc: status $status"
identical "$work/fork.hst"
echo "tsc: $1 reads in $2 bytes, identical on kvm and soft"
