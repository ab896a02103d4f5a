#!/usr/bin/env bash
# What reads traces without a guest: info, dump, verify, strip and their JSON, help of every command;
# and a trace is all that a replay needs.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
mkdir "$work/inputs" "$work/elsewhere"
cp "$GUESTS/clock.elf" "$work/inputs"
head -c 70000 /dev/urandom >"$work/inputs/initrd"
hindsight record --engine "$engine" --pace fast --kernel "$work/inputs/clock.elf" --initrd \
    "$work/inputs/initrd" --memory 8M --memory "file=$work/inputs/ram,size=8M" --append ticks=40 \
    --seed 7 --start-time 1000000000 -o "$work/inputs/t.hst"
[ "$status" -eq 0 ] || fail "record clock: status $status"
mv "$work/inputs/t.hst" "$work/elsewhere/t.hst"
rm -r "$work/inputs"
cd "$work/elsewhere"
identical t.hst
events=$(replayed_events)
[ "$(ls)" = t.hst ] || fail "the replay leaves files behind"
echo "every input file deleted: identical"

# Stripped: the same run, the same ordinals, nothing to compare.
hindsight strip t.hst -o stripped.hst
[ "$status" -eq 0 ] || fail "strip: status $status"
[ "$(stat -c %s stripped.hst)" -lt "$(stat -c %s t.hst)" ] || fail "strip saves nothing"
hindsight replay stripped.hst
[ "$status" -eq 0 ] || fail "stripped: status $status"
grep -q "^replayed $events events; the trace has no checks" "$work/out" || fail "stripped: other events"
for until in 0 1 $((events / 2)) $((events - 1)); do
    for trace in t stripped; do
        hindsight replay $trace.hst --until "$until"
        [ "$status" -eq 0 ] || fail "$trace --until $until: status $status"
        grep -q "^stopped at $until\\.0, identical so far" "$work/out" || fail "$trace: not at $until"
    done
done
hindsight dump t.hst --kind inputs
cp "$work/out" inputs
hindsight dump stripped.hst --kind inputs
cmp -s inputs "$work/out" || fail "stripping changes the inputs"
hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/clock.elf" --append ticks=10 --no-checks \
    -o bare.hst
[ "$status" -eq 0 ] || fail "record --no-checks: status $status"
hindsight replay bare.hst
[ "$status" -eq 0 ] && grep -q 'no checks to compare with' "$work/out" || fail "no checks: status $status"
refused 2 '--until' replay t.hst --until nowhere
refused 2 '--from' dump t.hst --from nowhere
refused 2 '--to' dump t.hst --to 1.x

for trace in t stripped bare; do
    hindsight verify $trace.hst
    [ "$status" -eq 0 ] && grep -q '^intact: ' "$work/out" || fail "verify $trace: status $status"
done

# JSON
hindsight doctor --json
cp "$work/out" doctor.json
hindsight info t.hst --json
cp "$work/out" info.json
hindsight dump t.hst --json
cp "$work/out" dump.json
hindsight dump t.hst --json --kind hlt --from 90 --to 130
cp "$work/out" part.json
python3 - "$engine" "$events" "$(stat -c %s t.hst)" <<'PYTHON' || fail "JSON"
import json, sys
engine, events, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
doctor = json.load(open("doctor.json"))
assert doctor["auto"] in ("kvm", "soft"), doctor
if doctor["kvm"]["usable"]:
    table = doctor["kvm"]["instructions"]
    assert set(table) == {"rdtsc", "cpuid", "xgetbv", "rdfsbase", "rdrand", "sgdt"}, table
    assert all(how in ("exact", "logged", "detected") for row in table.values() for how in row), table
    # Where the software CPU runs ring 0, nothing there is the host's.
    assert doctor["kvm"]["sse_ring0"] or "detected" not in [row[0] for row in table.values()], table
info = json.load(open("info.json"))
assert info["last_event"] == events and info["first_event"] == 1, info
assert info["file_bytes"] == size and info["complete"] and not info["damaged"], info
assert info["settings"]["engine"] == engine and info["settings"]["append"] == "ticks=40", info
assert info["settings"]["start-time"] == "1000000000" and info["settings"]["seed"] == "7", info
assert [blob["name"] for blob in info["blobs"]] == ["kernel", "initrd"], info
assert info["blobs"][1]["size"] == 70000, info
assert info["end"]["reason"] == "complete" and info["end"]["virtual_ns"] >= 40 * 10**7, info
records = [json.loads(line) for line in open("dump.json")]
checks = [record for record in records if "kind" in record]
assert [check["event"] for check in checks] == list(range(1, events + 1))
kinds = {}
for check in checks:
    kinds[check["kind"]] = kinds.get(check["kind"], 0) + 1
assert kinds == info["events_by_kind"], (kinds, info["events_by_kind"])
assert kinds["interrupt"] >= 40 and kinds["hlt"] >= 40, kinds
printed = bytes(check["value"] for check in checks if check["kind"] == "pio-out" and
                check["address"] == 0x3f8 and check["value"] >= 9)
assert b"clock: done" in printed, printed
part = [json.loads(line) for line in open("part.json")]
assert part and all(r["kind"] == "hlt" and 90 <= r["event"] <= 130 for r in part), part
PYTHON
echo "info, dump and doctor: JSON with the run's own numbers"

# Filters take what a look at all of it takes; counts are those of all of it.
hindsight record --engine soft --cpus 2 --pace fast --serial null --seed 7 --kernel "$GUESTS/race.elf" -o race.hst
[ "$status" -eq 0 ] || [ "$status" -eq 19 ] || fail "record race: status $status"
filtered()
{
    hindsight dump race.hst --json "${@:2}"
    [ "$status" -eq 0 ] || fail "dump ${*:2}: status $status"
    cp "$work/out" "$1.json"
}
filtered all --kind events
filtered times --times
filtered address --address 0x3f8,4
filtered one --address 0x3fd
filtered apic --device apic
filtered uart --device uart0 --kind pio-out
filtered cpu --cpu 1
filtered span --cpu 0 --from t=10ms --to t=20ms
filtered events --times --from 100 --to 200
hindsight info race.hst --stats --json
cp "$work/out" stats.json
python3 - <<'PYTHON' || fail "filters"
import json
read = lambda name: [json.loads(line) for line in open(name + ".json")]
everything, times = read("all"), read("times")
strip = lambda rows: [{key: row[key] for key in row if key not in ("vcpu", "virtual_ns")} for row in rows]
assert strip(times) == everything
on = 0
for row in times:
    on = row["value"] if row["kind"] == "turn" else on
    assert row["vcpu"] == on, row
assert {row["vcpu"] for row in times} == {0, 1}
assert all(a["virtual_ns"] <= b["virtual_ns"] for a, b in zip(times, times[1:]))
port = lambda row: row["kind"].startswith("pio")
at = lambda row, low, high: row["address"] < high and row["address"] + row["size"] > low
assert read("address") == [row for row in everything if port(row) and at(row, 0x3f8, 0x3fc)] != []
assert read("one") == [row for row in everything if port(row) and at(row, 0x3fd, 0x3fe)] != []
assert read("apic") == [row for row in times if row["kind"].startswith("mmio") and row["address"] >> 12 == 0xfee00] != []
assert read("uart") == [row for row in times if row["kind"] == "pio-out" and row["address"] >> 3 == 0x3f8 >> 3] != []
assert read("cpu") == [row for row in times if row["vcpu"] == 1] != []
assert read("span") == [row for row in times if row["vcpu"] == 0 and 10**7 <= row["virtual_ns"] <= 2 * 10**7] != []
assert read("events") == [row for row in times if 100 <= row["event"] <= 200] != []
info = json.load(open("stats.json"))
stats = info["stats"]
assert stats["events"] == len(everything) == info["last_event"]
assert abs(stats["events_per_second"] - len(everything) * 1e9 / info["end"]["virtual_ns"]) < 1e-2, stats
assert stats["instructions"] == sum(row["instructions"] for row in everything)
longest = max(everything, key=lambda row: row["instructions"])
assert (stats["longest_stretch"], stats["longest_before_event"]) == (longest["instructions"], longest["event"])
places = {}
for row in everything:
    if row["kind"].split("-")[0] in ("pio", "mmio", "msr", "interrupt", "turn"):
        key = row["kind"], row["value"] if row["kind"] in ("interrupt", "turn") else row["address"]
        places[key] = places.get(key, 0) + 1
assert {(row["kind"], row["at"]): row["events"] for row in stats["places"]} == places and not stats["places_left_out"]
counts = [row["events"] for row in stats["places"]]
assert counts == sorted(counts, reverse=True)
PYTHON
hindsight info race.hst --stats
grep -qE '^rate +[0-9]+ events a second of virtual time$' "$work/out" && grep -qE '^  place turn +0 +[0-9]+$' "$work/out" ||
    fail "info --stats"
refused 2 'are about events' dump race.hst --kind inputs --device uart0
refused 2 '--address' dump race.hst --address nowhere
refused 2 '--address' dump race.hst --address 0x3f8,0
refused 2 '--cpu' dump race.hst --cpu x
refused 2 '--from' dump race.hst --times --from t=x
refused 1 'at the end there are' dump race.hst --device floppy
hindsight strip race.hst -o race-stripped.hst
hindsight dump race-stripped.hst --json --device uart0 --kind pio-out
cmp -s "$work/out" uart.json || fail "a trace without checks is listed otherwise"
echo "dump's filters and info's counts are those of the whole list"

# What went in comes out, for this user alone; a disk as it is at a position, or at the end.
hindsight extract t.hst kernel -o kernel
[ "$status" -eq 0 ] || fail "extract kernel: status $status"
cmp -s kernel "$GUESTS/clock.elf" || fail "extract: another kernel than went in"
hindsight extract t.hst initrd -o initrd.out
[ "$status" -eq 0 ] && [ "$(stat -c '%s %a' initrd.out)" = "70000 600" ] || fail "extract initrd: status $status"
head -c 4M /dev/zero >disk
cp disk before
hindsight record --engine "$engine" --pace fast --serial null --kernel "$GUESTS/disk.elf" --disk file=disk -o d.hst
[ "$status" -eq 0 ] || fail "recording a disk: status $status"
hindsight extract d.hst disk -o after
[ "$status" -eq 0 ] && cmp -s after disk || fail "extract disk: not as the guest left it"
hindsight extract d.hst disk -o start --at 0
[ "$status" -eq 0 ] && cmp -s start before || fail "extract disk --at 0: not as it began"
! cmp -s start after || fail "the guest wrote nothing"
refuse()
{
    hindsight extract "${@:2}"
    [ "$status" -eq "$1" ] && [ -s "$work/err" ] || fail "extract ${*:2}: status $status, not $1"
}
refuse 1 t.hst disk -o none
refuse 1 t.hst floppy -o none
refuse 1 d.hst initrd -o none
refuse 1 d.hst disk -o no/folder
refuse 1 d.hst disk -o none --at 99999999
refuse 2 d.hst kernel -o none --at 5
refuse 2 d.hst kernel -o d.hst
refuse 2 d.hst kernel
[ ! -e none ] || fail "a file is left of what cannot be extracted"
hindsight info d.hst --stats --json
[ "$status" -eq 0 ] || fail "the trace after extracting: status $status"
python3 - "$work/out" <<'PYTHON' || fail "what went over the disk"
import json, sys
disk, = json.load(open(sys.argv[1]))["stats"]["disks"]
assert disk["reads"] and disk["writes"] and disk["written_bytes"] >= 4 << 20 and disk["read_bytes"] >= 4 << 20, disk
PYTHON
echo "extract: kernel, initrd and disk as they were"

# Output into a closed pipe ends in order.
status=0
{ "$HINDSIGHT" dump t.hst || echo "status $?" >&2; } 2>"$work/err" | head -1 >"$work/out" || true
grep -q '^1 \|^input' "$work/out" || fail "dump into head"

for command in doctor run record replay info dump verify strip extract; do
    hindsight $command --help
    [ "$status" -eq 0 ] || fail "$command --help: status $status"
    grep -q "^Usage: hindsight $command" "$work/out" || fail "$command --help: no usage"
    [ ! -s "$work/err" ] || fail "$command --help: writes to standard error"
done
hindsight --help
[ "$status" -eq 0 ] || fail "--help: status $status"
for command in doctor run record replay info dump verify strip extract; do
    grep -q "^  $command " "$work/out" || fail "--help does not list $command"
done
hindsight --version
grep -q '^hindsight [0-9]' "$work/out" || fail "--version"
echo "help of every command"
