#!/usr/bin/env bash
# The page of a run: its data is the run's, what a guest prints cannot leave its place in it, and a
# browser draws it without an error and without a network.
source "$(dirname "$0")/common.bash"
cd "$work"

# data PAGE: the data in it, read as a browser would.
cat >data.py <<'PYTHON'
import json
import re
import sys

page = open(sys.argv[1], encoding="ascii").read()
assert page.count("<script") == 2 and page.count("</script>") == 2, "a script too many"
data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S).group(1))
print(eval(sys.argv[2]))
PYTHON
data()
{
    python3 data.py "$1" "$2" || fail "$1: no data"
}

crash=(--engine soft --pace fast --serial null --kernel "$GUESTS/crash.elf" --append 'ticks=600 hz=10000' --chaos)
for seed in 1 2; do
    hindsight record "${crash[@]}" --seed $seed -o $seed.hst
    ended[seed]=$status
done
hindsight report 2.hst --against 1.hst --perfetto 2.json
[ "$status" -eq 0 ] || fail "report: status $status"
events=$("$HINDSIGHT" info --json 2.hst | python3 -c 'import json, sys; print(json.load(sys.stdin)["last_event"])')
[ "$(data 2.html 'data["eventsSeen"]')" = "$events" ] || fail "not all events are in the page"
[ "$(data 2.html 'len(data["times"]) == len(data["eventSites"]) == data["eventsSeen"]')" = True ] || fail "not all have a time"
[ "$(data 2.html 'sum(site[4] for site in data["sites"])')" = "$events" ] || fail "sites do not add up"
"$HINDSIGHT" replay 2.hst --console | tr -d '\r' | grep -v '^identical' >console || true
[ "$(data 2.html '"\n".join(row[2] for row in data["console"])')" = "$(cat console)" ] || fail "another console"
hindsight diff --no-context 2.hst 1.hst
parts=$(sed -n 's/^event *\([0-9]*\) is.*/\1/p' out)
[ "$(data 2.html 'data["against"]["event"]')" = "$parts" ] || fail "the runs part elsewhere"
hindsight report 1.hst --against 1.hst -o same.html
[ "$(data same.html 'data["end"]["failed"], data["end"]["outcome"]')" = \
    "(True, 'exit status ${ended[1]}')" ] || fail "a failed run does not look like one"
[ "${ended[2]} $(data 2.html 'data["end"]["failed"], data["end"]["outcome"]')" = "0 (False, 'ended')" ] ||
    fail "a good run does not look like one"
[ "$(data same.html 'data["against"]["event"]')" = 0 ] || fail "a run parts from itself"
python3 - 2.json <<'PYTHON' || fail "the Chrome trace"
import json
import sys

open_slices, last = {}, 0.0
events = json.load(open(sys.argv[1]))["traceEvents"]
for event in events:
    if event["ph"] != "M":
        assert event["ts"] >= last, "time goes backwards"
        last = event["ts"]
    track = event["tid"]
    if event["ph"] == "B":
        assert not open_slices.get(track), "a slice in a slice"
        open_slices[track] = True
    elif event["ph"] == "E":
        assert open_slices[track]
        open_slices[track] = False
assert not any(open_slices.values()), "a slice without an end"
assert any(event["ph"] == "i" for event in events)
PYTHON
echo "the page has the run's events, console, outcome and difference"

# What a guest prints stays text.
hostile='</script><script>document.body.dataset.broken = 1</script><img src=x onerror=alert(1)>'
printf '%s\nq\n' "$hostile" | "$HINDSIGHT" record --engine soft --kernel "$GUESTS/echo.elf" -o echo.hst >out 2>err
hindsight report echo.hst
[ "$(data echo.html '"<script>document" in "".join(row[2] for row in data["console"])')" = True ] ||
    fail "the console lacks what was typed"
hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/smp.elf" --cpus 2 -o smp.hst
hindsight report smp.hst
[ "$(data smp.html 'len({turn[1] for turn in data["turns"]})')" = 2 ] || fail "not both vCPUs have turns"

if command -v chromium >/dev/null; then
    for page in 2 same echo smp; do
        timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
            --disable-background-networking --disable-component-update --disable-sync \
            --user-data-dir="$work/chromium" --enable-logging=stderr --dump-dom "file://$work/$page.html" \
            >dom 2>log || fail "chromium: status $?"
        grep -qE '<body data-errors="0" data-lanes="[1-9][0-9]*" data-ready="[1-9][0-9]*"' dom || fail "$page.html is not drawn"
        if grep -E 'CONSOLE|data-broken' log dom; then
            fail "$page.html: errors in the browser"
        fi
    done
    echo "chromium draws them without an error"
else
    echo "no chromium here: the pages were not drawn"
fi

# What cannot be
refused 2 'is named twice' report 1.hst -o 1.hst
refused 2 'is named twice' report 1.hst --against 2.hst -o 2.hst
refused 2 'give one trace' report
refused 1 'none.hst' report none.hst
refused 1 'No such file' report 1.hst -o none/page.html
refused 1 'No space left' report 1.hst -o /dev/full
refused 1 'No such file' report 1.hst --against none.hst
refused 4 'not a hindsight trace' report 1.hst --against data.py
head -c 3000 1.hst >cut.hst
hindsight report cut.hst
case $status in 0 | 1 | 4) ;; *) fail "a trace that is cut off: status $status" ;; esac
echo "what cannot be is refused"
