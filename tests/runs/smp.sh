#!/usr/bin/env bash
# Several vCPUs: messages of every addressing, NMI, shoot-down and locks between 1, 2, 4 and 16 of them;
# a planted lost update shows within 200 seeds and replays; a seed decides the run, the trace alone its
# replay. One that starts nowhere, messages to nobody and vCPUs that all halt end as they should.
source "$(dirname "$0")/common.bash"
on=(--engine soft --pace fast)

for cpus in 1 2 4 16; do
    for turn in 1K..100K 10..50; do
        hindsight record "${on[@]}" --cpus $cpus --turn $turn --kernel "$GUESTS/smp.elf" -o "$work/t.hst"
        [ "$status" -eq 0 ] || fail "smp on $cpus, turns of $turn: status $status"
        grep -q "counter with a lock $((cpus * 2000))" "$work/out" || fail "smp on $cpus: wrong counter"
        identical "$work/t.hst"
    done
done
echo "messages, NMI, shoot-down and locks hold on 1 to 16 vCPUs"

lost=
for seed in $(seq 200); do
    hindsight record "${on[@]}" --cpus 2 --seed "$seed" --kernel "$GUESTS/race.elf" -o "$work/race.hst"
    if [ "$status" -eq 19 ]; then
        lost=$seed
        break
    fi
    [ "$status" -eq 0 ] || fail "race, seed $seed: status $status"
done
[ -n "$lost" ] || fail "200 seeds lost no update"
grep -q 'updates lost' "$work/out" || fail "the guest does not say what was lost"
identical "$work/race.hst"
hindsight record "${on[@]}" --cpus 2 --seed "$lost" --kernel "$GUESTS/race.elf" -o "$work/again.hst"
[ "$status" -eq 19 ] || fail "seed $lost did it once and not again"
# Who ran in which order, and how long in all. The end of the input may or may not make an event of
# its own, which splits a stretch of instructions and shifts the numbers of the events after it.
turns()
{
    "$HINDSIGHT" dump "$1" | python3 -c '
import re, sys
total = 0
for line in sys.stdin:
    found = re.search(r"^(\d+) (.*?)(?: \(\+(\d+) instructions\))?$", line)
    total += int(found[3] or 0) if found else 0
    if " to vCPU " in line:
        print(total, found[2])'
}
cmp <(turns "$work/race.hst") <(turns "$work/again.hst") || fail "the same seed makes other turns"
[ "$(turns "$work/race.hst" | wc -l)" -gt 20 ] || fail "there are no turns to compare"
echo "seed $lost loses an update, each time"

# Other schedules: the lost update shows where every access to the counter may end a turn, and by PCT.
counter=$(nm "$GUESTS/race.elf" | sed -n 's/^0*\([0-9a-f]*\) [bB] counter$/0x\1/p')
for schedule in "every-access:$counter+8" "every-access:phys:$counter+8"; do
    hindsight record "${on[@]}" --cpus 2 --schedule "$schedule" --kernel "$GUESTS/race.elf" \
        --append rounds=50 -o "$work/t.hst"
    [ "$status" -eq 19 ] || fail "$schedule: status $status"
    identical "$work/t.hst"
done
for seed in 1 2 3; do
    for cpus in 2 4; do
        hindsight record "${on[@]}" --cpus $cpus --schedule pct:3,1000000 --seed $seed \
            --kernel "$GUESTS/smp.elf" -o "$work/t.hst"
        grep -q "counter with a lock $((cpus * 2000))" "$work/out" || fail "pct on $cpus: wrong counter"
        identical "$work/t.hst"
    done
done
for schedule in pct pct:0 pct:17 pct:3, every-access: every-access:0x1000 every-access:0x1000+0 nothing; do
    refused 2 'is no schedule' run "${on[@]}" --cpus 2 --schedule "$schedule" --kernel "$GUESTS/smp.elf"
done
echo "schedules by priorities and by accesses"

# race BUG STATUS ARGUMENT...: the race guest ends with this status, and its replay is identical.
race()
{
    local bug=$1 wanted=$2
    shift 2
    hindsight record "${on[@]}" --cpus 2 --kernel "$GUESTS/race.elf" --append "bug=$bug rounds=500" \
        -o "$work/t.hst" "$@"
    [ "$status" -eq "$wanted" ] || fail "bug $bug, $*: status $status, not $wanted"
    identical "$work/t.hst"
}
for seed in 1 2 3; do
    race 1 0 --seed $seed
    race 1 19 --seed $seed --store-buffers
    race 2 0 --seed $seed --store-buffers
done
"$BUILD/bin/timeline_walk" "$work/t.hst" 100 1 >"$work/out" || fail "a walk with store buffers"
hindsight record "${on[@]}" --cpus 4 --store-buffers --kernel "$GUESTS/smp.elf" -o "$work/t.hst"
grep -q 'counter with a lock 8000' "$work/out" || fail "locks do not hold with store buffers"
identical "$work/t.hst"
refused 125 'several vCPUs' run "${on[@]}" --store-buffers --kernel "$GUESTS/hello.elf"
echo "a missing fence shows with store buffers, and never without them or with the fence"

# strays STATUS TEXT ARGUMENT...: the guest that does it wrong ends so, and so does its replay.
strays()
{
    local wanted=$1 text=$2
    shift 2
    hindsight record "${on[@]}" --cpus 3 --kernel "$GUESTS/strays.elf" --append "$*" -o "$work/t.hst"
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    grep -q "$text" "$work/err" || fail "$*: no '$text'"
    identical "$work/t.hst"
}
for page in 0x9f 0xa0 0xff; do
    strays 35 'debug-exit port' stray=0 page=$page
done
strays 0 'halted for good' stray=1
strays 106 'triple-faulted' stray=2
strays 0 'halted for good' stray=3
echo "wrong starts, messages to nobody, a triple fault of one and all halted end as they should"
