#!/usr/bin/env bash
# The two places of a lost update in a program are named: by the debugger's `races` where one knows the
# variable, and by `hindsight report` without being told where to look.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
grep -q 'HINDSIGHT_EXT4:BOOL=ON' "$BUILD/CMakeCache.txt" || exit 77
cd "$work"
mkdir root
gcc -g -O1 -Wall -Werror -static -no-pie -pthread -o root/flaky "$root/guests/linux/flaky.c"
hindsight hunt --engine soft --kernel "$cache/vmlinuz" --root root --cpus 2 --until status=3 --stop-after 1 --runs 40 \
    -o hunt -- /flaky
[ "$status" -eq 1 ] || fail "the lost update is not found: $status"
found=(hunt/fail-*.hst)
trace=${found[0]}

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
