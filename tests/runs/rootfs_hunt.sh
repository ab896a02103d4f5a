#!/usr/bin/env bash
# A flaky program in a plain folder: `hunt --root` finds the run in which its two threads lose an
# update, its seed alone makes it again, and the two places are named.
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

# A command whose statuses are those that hindsight has for itself.
hindsight hunt "${hunting[@]:0:6}" --runs 1 -o odd -- /nowhere/none
[ "$status" -eq 1 ] && grep -q 'status 127: 1' out || fail "status 127 is the command's: $(cat out)"
refused 2 'for one run' hunt "${hunting[@]}" --share out --runs 1 -o x -- /flaky
refused 2 'no command' hunt "${hunting[@]}" --runs 1 -o x
refused 2 "'sh' is not understood" hunt --kernel k --runs 1 -o x -- sh
refused 125 'No such file' hunt --engine soft --kernel "$cache/vmlinuz" --root nowhere --runs 1 -o x -- sh

if ! "$root/scripts/fetch-linux.sh" --debug >/dev/null 2>fetch; then
    echo "skipped: the places: $(tail -n 1 fetch)"
    exit 0
fi
hindsight debug "$trace" --batch -ex "add-symbol-file $cache/debug/vmlinux" -ex 'add-symbol-file root/flaky -process flaky' \
    -ex 'tbreak add_one' -ex continue -ex 'races counter'
[ "$status" -eq 0 ] || fail "races: status $status"
grep -qE '^  vCPU [01] writes 8 bytes at [0-9.]+ in 0x[0-9a-f]+ <add_one\+[0-9]+> at flaky\.c:[0-9]+$' out || fail "no write"
grep -qE '^  vCPU [01] reads 8 bytes at [0-9.]+ in 0x[0-9a-f]+ <add_one(\+[0-9]+)?> at flaky\.c:[0-9]+$' out || fail "no read"
grep -qE '^    #1 .* in count \(.*\) at flaky\.c:[0-9]+$' out || fail "no caller"
echo "its two places are named"

# Without being told where to look: the page names both lines, with threads, callers and commands.
hindsight report "$trace" --symbols "$cache/debug/vmlinux" --program root/flaky -o flaky.html
[ "$status" -eq 0 ] || fail "report: status $status"
for line in $(grep -nE 'long value = counter;|counter = value \+ 1;' "$root/guests/linux/flaky.c" | cut -d: -f1); do
    lines+=("flaky.c:$line")
done
python3 - flaky.html "${lines[@]}" <<'PYTHON' || fail "the page"
import json
import re
import sys

page = open(sys.argv[1], encoding="ascii").read()
data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S).group(1))
rows = data["conflicts"]["rows"]
places = {(row["race"], row["kind"], row["line"]) for row in rows}
read, write = sys.argv[2:]
assert any({(race, "read", read), (race, "write", write)} <= places for race, _, _ in places), places
assert len({row["process"] for row in rows}) == 2 and all(row["process"].endswith(" flaky") for row in rows), rows
assert all("add_one < count" in row["stack"] for row in rows), rows
assert all("flaky.c" in row["line"] for row in rows), rows
assert "-process flaky" in data["symbols"]
PYTHON
# The command that the page gives goes there.
at=$("$HINDSIGHT" query "$trace" --symbols "$cache/debug/vmlinux" -ex 'add-symbol-file root/flaky -process flaky' \
    --limit 1 'conflicts flaky' | sed -n '2s/ .*//p')
hindsight debug "$trace" --batch -ex "add-symbol-file $cache/debug/vmlinux" -ex 'add-symbol-file root/flaky -process flaky' \
    -ex "seek $at" -ex 'backtrace 1'
[ "$status" -eq 0 ] && grep -qE '^#0 .*add_one \(\) at flaky\.c:[0-9]+$' out || fail "$at is no place of the race"
if command -v chromium >/dev/null; then
    timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$work/chromium" \
        --enable-logging=stderr --dump-dom "file://$work/flaky.html" >dom 2>log || fail "chromium: status $?"
    grep -q '<body data-errors="0"' dom && ! grep -q CONSOLE log || fail "errors in the browser"
    for text in "${lines[@]}" 'Race 1: ' "seek $at"; do
        grep -qF "$text" dom || fail "the page does not show '$text'"
    done
fi
# A program of another name, one that is not there, and symbols that are not given.
refused 2 "--symbols, too" report "$trace" --program root/flaky -o x.html
refused 1 'conflicts' report "$trace" --symbols "$cache/debug/vmlinux" --program "$root/guests/linux/none" -o x.html
hindsight query "$trace" --symbols "$cache/debug/vmlinux" 'conflicts flaky'
[ "$status" -eq 1 ] && grep -q 'symbols are needed' err || fail "conflicts without symbols: status $status"
echo "the report names them by itself"
