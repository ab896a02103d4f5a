#!/usr/bin/env bash
# A flaky program in a plain folder: `hunt --root` finds the run in which its two threads lose an
# update, its seed alone makes it again, bisect narrows it, and rerun shows it gone with a fixed program.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
grep -q 'HINDSIGHT_EXT4:BOOL=ON' "$BUILD/CMakeCache.txt" || exit 77
cd "$work"
mkdir root
gcc -g -O1 -Wall -Werror -static -no-pie -pthread -o root/flaky "$root/guests/linux/flaky.c"

hunting=(--engine soft --kernel "$cache/vmlinuz" --root root --cpus 2)
hindsight hunt "${hunting[@]}" --until status=3 --stop-after 1 --runs 40 -o hunt -- /flaky
[ "$status" -eq 1 ] || fail "the lost update is not found: $status"
grep -q '^[0-9]* runs, [1-9][0-9]* found: ' out || fail "no summary"
# Two jobs may both have found one.
found=(hunt/fail-*.hst)
trace=${found[0]}
hindsight info --json "$trace"
grep -q '"outcome": "status", "exit_status": 3' out || fail "the trace has another end"
identical "$trace"
[ -z "$(ls -d hunt/hindsight-* 2>/dev/null)" ] || fail "the disk is left over"
seed=${trace//[^0-9]/}
hindsight record "${hunting[@]}" --pace fast --chaos --seed "$seed" -o again.hst -- /flaky
[ "$status" -eq 3 ] || fail "seed $seed: status $status"
grep -qE '^[0-9]+ of 12000' out || fail "the program's own words"
echo "a lost update of a program is found"

# It is narrowed as any other: the disk is made again, and the run is the very one. Few runs do not get
# far, and that is said; of another folder it is another run.
hindsight bisect "$trace" --root root --runs 4 -o narrow
[ "$status" -eq 1 ] && grep -qE ': exit status 3; the seed made [0-9]+ choices, and without any ' out || fail "bisect: status $status"
[ -z "$(ls -d narrow/hindsight-* 2>/dev/null)" ] || fail "the disk of bisect is left over"
cp -r root other
printf x >other/more
refused 125 'from its seed the run is another' bisect "$trace" --root other -o narrow
refused 125 'give each with --disk' bisect "$trace" --plain-status -o narrow
refused 125 'No such file' bisect "$trace" --root nowhere -o narrow
refused 2 '--root-size' bisect "$trace" --root root --root-size x -o narrow
echo "it can be recorded anew, and narrowed"

# The same run with the same folder; with a fixed program in it the update is not lost.
hindsight rerun "$trace" --root root -o again.hst
[ "$status" -eq 1 ] && grep -q '^the failure is still there$' out || fail "rerun with the same: status $status"
hindsight diff "$trace" again.hst --no-context
[ "$status" -eq 0 ] || fail "rerun with the same folder is another run"
mkdir fixed
gcc -g -O1 -Wall -Werror -static -no-pie -pthread -DFIXED -o fixed/flaky "$root/guests/linux/flaky.c"
hindsight rerun "$trace" --root fixed --serial file:console -o fixed.hst
[ "$status" -eq 0 ] && grep -q '^the failure is gone$' out && grep -q '^12000 of 12000' console || fail "rerun with the fix: status $status"
identical fixed.hst
hindsight record --like "$trace" --root root --pace fast --serial null -o like.hst
[ "$status" -eq 3 ] || fail "record --like: status $status"
refused 2 "is not understood" rerun "$trace" --root root -- /flaky
refused 2 "the command is the trace's" rerun "$trace" --root root --env A=B
refused 2 "a command's with --root" rerun "$trace"
echo "a fixed program is rerun"

# A command whose statuses are those that hindsight has for itself.
hindsight hunt "${hunting[@]:0:6}" --runs 1 -o odd -- /nowhere/none
[ "$status" -eq 1 ] && grep -q 'status 127: 1' out || fail "status 127 is the command's: $(cat out)"
refused 2 'for one run' hunt "${hunting[@]}" --share out --runs 1 -o x -- /flaky
refused 2 'no command' hunt "${hunting[@]}" --runs 1 -o x
refused 2 "'sh' is not understood" hunt --kernel k --runs 1 -o x -- sh
refused 125 'No such file' hunt --engine soft --kernel "$cache/vmlinuz" --root nowhere --runs 1 -o x -- sh
