#!/usr/bin/env bash
# A failure that shows now and then is found by seeds, kept, and the same each time.
source "$(dirname "$0")/common.bash"
crash=(--engine soft --kernel "$GUESTS/crash.elf" --append 'ticks=600 hz=10000')

# summary NAME: of `info --json`-like output in $work/out.
summary()
{
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/out" "$1"
}

# What a trace holds; where its chunks begin is a matter of the host's time.
contents()
{
    "$HINDSIGHT" dump "$1"
}

# A seed alone reproduces a run; another seed makes another run.
for guest in crash entropy; do
    for name in a b; do
        hindsight record "${crash[@]}" --kernel "$GUESTS/$guest.elf" --pace fast --serial null --seed 7 --chaos -o "$work/$name.hst"
    done
    contents "$work/a.hst" >"$work/a"
    contents "$work/b.hst" | cmp - "$work/a" || fail "$guest: one seed, two runs"
    identical "$work/a.hst"
    hindsight record "${crash[@]}" --kernel "$GUESTS/$guest.elf" --pace fast --serial null --seed 8 --chaos -o "$work/b.hst"
    ! contents "$work/b.hst" | cmp -s - "$work/a" || fail "$guest: two seeds, one run"
done
echo "a seed reproduces a run"

# By default settings; the failing traces fail again, the passing one does not.
hindsight hunt "${crash[@]}" --runs 12 --keep 3 -o "$work/crash"
[ "$status" -eq 1 ] || fail "nothing found: status $status"
grep -q '^12 runs, [0-9]* found: .*95 % confidence' "$work/out" || fail "no rate"
[ "$(ls "$work"/crash/fail-*.hst | wc -l)" -eq 3 ] || fail "not three traces kept"
[ "$(ls "$work"/crash/pass-*.hst | wc -l)" -eq 1 ] || fail "not one passing trace kept"
[ "$(ls "$work"/crash/run-* 2>/dev/null | wc -l)" -eq 0 ] || fail "something is left over"
for trace in "$work"/crash/*.hst; do
    identical "$trace"
done
seed=$(awk '$3 == "failed" { print $1; exit }' "$work/crash/runs")
hindsight record "${crash[@]}" --pace fast --serial null --chaos --seed "$seed" -o "$work/a.hst"
[ "$status" -eq 85 ] || fail "seed $seed does not fail again: status $status"

# The whole of it is what its parts are, whoever does them; what is done is not done again.
hindsight hunt "${crash[@]}" --runs 12 -o "$work/crash" --json
[ "$(summary runs)" = 12 ] || fail "done again"
cp "$work/out" "$work/whole"
for i in 1 2 3; do
    hindsight hunt "${crash[@]}" --runs 12 --shard $i/3 --jobs 1 -o "$work/part$i"
done
hindsight hunt --json --merge "$work"/part1 "$work"/part2 "$work"/part3 "$work"/part3
cmp "$work/out" "$work/whole" || fail "the parts are not the whole"
cut=$(($(stat -c %s "$work/part1/runs") - 3))
truncate -s $cut "$work/part1/runs"
hindsight hunt "${crash[@]}" --runs 12 --shard 1/3 -o "$work/part1"
hindsight hunt --json --merge "$work"/part1 "$work"/part2 "$work"/part3
cmp "$work/out" "$work/whole" || fail "a list that was cut off is not completed"
echo "parts of a hunt add up"

# Stopped in the middle, it tells what it has and leaves no process.
status=0
timeout -s INT 3 "$HINDSIGHT" hunt --engine soft --kernel "$GUESTS/spin.elf" --append loops=300000000000 \
    --runs 100 --jobs 2 -o "$work/long" >"$work/out" 2>"$work/err" </dev/null || status=$?
[ "$status" -eq 130 ] || [ "$status" -eq 124 ] || fail "stopped: status $status"
grep -q '^0 runs, 0 found' "$work/out" || fail "stopped: no summary"
! pgrep -f "$work/long" >/dev/null || fail "a run goes on"

# Two processors and a lost update, by what the console says, and no further once it is found.
hindsight hunt --engine soft --cpus 2 --kernel "$GUESTS/race.elf" --until 'console=updates lost' --stop-after 1 --jobs 1 \
    --runs 200 -o "$work/race"
[ "$status" -eq 1 ] || fail "the lost update is not found: $(cat "$work/out")"
[ "$(ls "$work"/race/fail-*.hst | wc -l)" -eq 1 ] || fail "more than one find"
identical "$work"/race/fail-*.hst --engine soft
hindsight info "$work"/race/fail-*.hst
grep -q 'outcome *report, exit status 102' "$work/out" || fail "the find is not a report"
echo "a lost update is found from default settings"

# What cannot be hunted
refused 2 'give --runs N and -o DIR' hunt "${crash[@]}"
refused 2 '--until soon' hunt "${crash[@]}" --until soon --runs 1 -o "$work/x"
refused 2 '--shard 4/3' hunt "${crash[@]}" --shard 4/3 --runs 1 -o "$work/x"
refused 2 '--runs' hunt "${crash[@]}" --runs 0 -o "$work/x"
refused 125 'seed 1 cannot be recorded: ' hunt --engine soft --kernel "$work/none" --runs 3 --jobs 1 -o "$work/x"
refused 125 'No such file' hunt --merge "$work/none"
refused 125 'Not a directory' hunt "${crash[@]}" --runs 1 -o "$work/whole/x"
printf 'what is this\n' >"$work/x/runs"
refused 125 'is no line of a hunt' hunt "${crash[@]}" --runs 1 -o "$work/x"
echo "a hunt says what it cannot do"
