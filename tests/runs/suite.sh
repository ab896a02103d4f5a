#!/usr/bin/env bash
# Kept traces are a suite: replayed together, looked at by checks, told as TAP and JUnit XML.
source "$(dirname "$0")/common.bash"
mkdir -p "$work/suite/deeper"
hindsight record --engine soft --pace fast --serial null --seed 3 --chaos --kernel "$GUESTS/crash.elf" \
    --append 'ticks=600 hz=10000' -o "$work/suite/crash.hst"
[ "$status" -eq 85 ] || fail "record crash: status $status"
for name in 'a & b' last; do
    hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" -o "$work/suite/deeper/$name.hst"
done
printf 'seek end\nassert 1 + 1 == 2\nassert samples.head != 0\n' >"$work/suite/crash.check"

hindsight test "$work/suite" --junit "$work/junit.xml" --jobs 2
[ "$status" -eq 0 ] || fail "a good suite: status $status: $(cat "$work/out")"
[ "$(sed -n 2p "$work/out")" = 1..3 ] || fail "not three traces"
[ "$(grep -c '^ok [123] - ' "$work/out")" -eq 3 ] || fail "not all are good"
python3 - "$work/junit.xml" 3 0 <<'PYTHON'
import sys
import xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
assert suite.get("tests") == sys.argv[2] and suite.get("failures") == sys.argv[3], suite.attrib
assert any(case.get("name").endswith("a & b.hst") for case in suite), "names"
PYTHON
echo "a good suite is good"

# Each way to fail is told apart, and one does not hide the others.
echo 'assert samples.head == 1234' >>"$work/suite/crash.check"
head -c 5000 "$work/suite/deeper/last.hst" >"$work/suite/deeper/damaged.hst"
python3 "$here/patch_header.py" "$work/suite/deeper/last.hst" "$work/suite/deeper/other.hst" machine
hindsight test "$work/suite" --junit "$work/junit.xml"
[ "$status" -eq 1 ] || fail "a bad suite: status $status"
grep -q '^not ok 1 - .*crash.hst$' "$work/out" || fail "the check does not fail"
grep -q '^# its check fails (status 1)$' "$work/out" || fail "why it failed is not told"
grep -q '^# .*assertion failed: samples.head == 1234$' "$work/out" || fail "the assertion is not told"
grep -q '^ok 2 - .*a & b.hst$' "$work/out" || fail "a good one is not good"
grep -q '^not ok 3 - .*damaged.hst$' "$work/out" || fail "a damaged one is good"
grep -q '^# the trace is damaged (status 4)$' "$work/out" || fail "damage is not told"
grep -q '^# the trace is of another version of the machine (status 5)$' "$work/out" || fail "the version is not told"
python3 -c 'import sys, xml.etree.ElementTree as t; s = t.parse(sys.argv[1]).getroot(); assert s.get("failures") == "3"' "$work/junit.xml" ||
    fail "JUnit: not three failures"
hindsight test "$work/suite/deeper/last.hst"
[ "$status" -eq 0 ] && grep -q '^1\.\.1$' "$work/out" || fail "one trace: status $status"
mkdir "$work/empty"
refused 2 'there is no trace' test "$work/empty"
refused 2 'give folders or traces' test
refused 2 '--jobs 0' test --jobs 0 "$work/suite"
refused 125 'No such file' test "$work/none"
echo "a bad one says what is wrong"
