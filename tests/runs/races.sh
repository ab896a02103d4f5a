#!/usr/bin/env bash
# The debugger's `races`: the planted lost update has its two places named, a counter under its lock
# has none and its neighbour without one has; what is asked wrongly is refused; looking changes nothing.
source "$(dirname "$0")/common.bash"

record()
{
    local guest=$1
    shift
    hindsight record --engine soft --pace fast "$@" --kernel "$GUESTS/$guest.elf" -o "$work/$guest.hst"
    [ "$status" -eq 0 ] || [ "$status" -eq 19 ] || fail "recording $guest: status $status"
}

# asked TRACE COMMAND...: in one session.
asked()
{
    local trace=$work/$1.hst command arguments=()
    shift
    for command; do
        arguments+=(-ex "$command")
    done
    hindsight debug "$trace" --batch "${arguments[@]}"
}

said()
{
    grep -qE -- "$1" "$work/out" || fail "no '$1'"
}

record race --cpus 2 --append 'rounds=200'
asked race 'races counter'
said '^Race 1, [0-9]+ times?, first on 0x'
said '^  vCPU [01] reads 8 bytes at [0-9]+\.[0-9]+ in 0x[0-9a-f]+ <add_one(\+[0-9]+)?> at race\.c:[0-9]+$'
said '^  vCPU [01] writes 8 bytes at [0-9]+\.[0-9]+ in 0x[0-9a-f]+ <add_one(\+[0-9]+)?> at race\.c:[0-9]+$'
said '^    #1 .* in add \(' # the caller of each
[ "$(grep -c '^Race ' "$work/out")" -eq 2 ] || fail "its load and its store make two pairs"
grep -E '^  vCPU' "$work/out" | grep -v add_one && fail "the guest adds in add_one alone"
said '^Looked at 0\.0 to [0-9]+\.0, [0-9]+ instructions: [0-9]+ accesses to counter'
# The position named is the place where the instruction stands.
read -r at place < <(sed -n 's/^  vCPU [01] writes 8 bytes at \([0-9.]*\) in \(0x[0-9a-f]*\) .*/\1 \2/p' "$work/out" | head -1)
asked race "seek $at" 'print/x $rip'
said "= $place\$"
echo "the lost update has its two places named"

record smp --cpus 3 --turn 10..200 --append 'rounds=300'
asked smp 'races locked' 'echo ----' 'races loose' 'echo ----' 'races lock'
grep -c '^No races' "$work/out" | grep -qx 2 || fail "the lock orders, and races with nobody"
sed '/^----/q' "$work/out" | grep -q '^Race' && fail "the counter under the lock races"
said '^Race 1, .* first on 0x'
said '<count_up\+'
asked smp 'races -exclude count_up loose'
said '^No races but those excluded'
said '^2 pairs with an excluded function'
echo "the counter under its lock has none, its neighbour has"

# A part of the run, by address and by physical address; the session stays where it was, and what is
# there is what was there.
asked smp 'seek 50%' 'when' 'print loose' 'print/x $rip' 'print &loose'
cp "$work/out" "$work/before"
address=$(grep -o '0x[0-9a-f]* <loose>' "$work/before" | head -1 | cut -d' ' -f1)
asked smp 'seek 50%' 'races 40% 60% loose' "races 40% 60% phys:$address,8" \
    "races 40% 60% $address,8" 'when' 'print loose' 'print/x $rip' 'print &loose'
[ "$(grep -c '^Race 1, ' "$work/out")" -eq 3 ] || fail "the three names of one range differ"
grep '^Race 1, ' "$work/out" | sort -u | wc -l | grep -qx 1 || fail "the three names of one range differ"
cmp <(tail -4 "$work/out") <(tail -4 "$work/before") || fail "looking for races changed something"
asked smp 'races 40% 60% locked'
said '^No races\.'
echo "a part of the run is looked at, and nothing is changed"

wrong()
{
    local trace=$1 text=$2
    shift 2
    asked "$trace" "$@"
    [ "$status" -eq 1 ] || fail "$*: status $status"
    grep -qE -- "$text" "$work/out" "$work/err" || fail "$*: no '$text'"
}
wrong smp 'give what to look at' 'races'
wrong smp 'no symbol' 'races nothing'
wrong smp 'is no variable' 'races 0x1000'
wrong smp 'is no variable' 'races phys:0x1000'
wrong smp 'has no bytes' 'races 0x1000,0'
wrong smp 'has no bytes' 'races phys:0xffffffffffffffff,2'
wrong smp 'at most 4096 pages' 'races 0,0x100000000'
wrong smp 'must be after' 'races 60% 40% loose'
wrong smp 'is not understood' 'races loose and more'
wrong smp 'at most 16' "races $(printf -- '-exclude f %.0s' {1..17})loose"
# An interrupt from one to the other orders them, wherever the sender's APIC is.
for apic in 0xfee00000 0xfed40000; do
    record message --cpus 2 --append "rounds=20 apic=$apic"
    [ "$status" -eq 0 ] || fail "messages from $apic: status $status"
    asked message 'races letter'
    said '^No races\.'
done
echo "messages order"

record hello
wrong hello 'one vCPU' 'races start end counter'
echo "what is asked wrongly is refused"
