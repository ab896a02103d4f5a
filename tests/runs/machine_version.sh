#!/usr/bin/env bash
# A trace that another version of the machine made: everything that executes it refuses it in one line
# with a status of its own, everything that only reads it works.
source "$(dirname "$0")/common.bash"
engine=$(first_engine)
hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/clock.elf" --append ticks=20 -o "$work/t.hst"
[ "$status" -eq 0 ] || fail "record clock: status $status"
python3 "$here/patch_header.py" "$work/t.hst" "$work/other.hst" machine

hindsight info "$work/t.hst"
version=$(sed -n 's/^machine *version \([0-9]*\)$/\1/p' "$work/out")
[ -n "$version" ] || fail "info does not say the machine's version"
hindsight info --json "$work/t.hst"
grep -q "\"machine_version\": $version, \"replayable_machine_version\": $version," "$work/out" ||
    fail "info --json: another machine version"

for command in replay debug gdb "fork --at 50% -o $work/fork.hst"; do
    # shellcheck disable=SC2086
    refused 5 "machine version 9 made the trace, and this build has machine versions" $command "$work/other.hst"
    grep -q 'replay it with the build that recorded it (hindsight [0-9.]*)' "$work/err" ||
        fail "$command: no word what to do"
done
[ ! -e "$work/fork.hst" ] || fail "a refused fork leaves a trace behind"
[ ! -e "$work/other.hst.cache" ] || fail "a refused session leaves checkpoints behind"

# The oldest version that is still made is replayed as such, and so is what is forked from it.
for trace in "$here"/../traces/*.hst; do
    hindsight info "$trace"
    oldest=$(sed -n 's/^machine *version \([0-9]*\)$/\1/p' "$work/out")
    [ "$oldest" -lt "$version" ] || continue
    hindsight fork "$trace" --at 50% --pace fast -o "$work/old.hst"
    [ "$status" -eq 0 ] || fail "fork of $trace: status $status"
    hindsight info "$work/old.hst"
    grep -q "^machine *version $oldest$" "$work/out" || fail "the fork of a machine of version $oldest is of another"
    identical "$work/old.hst"
    echo "machine version $oldest: forked as $oldest"
    break
done

hindsight info "$work/other.hst"
[ "$status" -eq 0 ] && grep -q "^machine *version 9, not one of this build's [0-9]* to $version:" "$work/out" || fail "info: status $status"
hindsight info --json "$work/other.hst"
[ "$status" -eq 0 ] && grep -q '"machine_version": 9,' "$work/out" || fail "info --json: status $status"
hindsight dump "$work/t.hst"
cp "$work/out" "$work/dump"
hindsight dump "$work/other.hst"
[ "$status" -eq 0 ] && cmp -s "$work/dump" "$work/out" || fail "dump: status $status"
hindsight verify "$work/other.hst"
[ "$status" -eq 0 ] && grep -q '^intact: ' "$work/out" || fail "verify: status $status"
hindsight strip "$work/other.hst" -o "$work/stripped.hst"
[ "$status" -eq 0 ] || fail "strip: status $status"
refused 5 'machine version 9' replay "$work/stripped.hst"

# This machine is the same but for the number.
identical "$work/other.hst" --any-version
hindsight debug "$work/other.hst" --any-version --batch -ex 'seek 10' -ex when
[ "$status" -eq 0 ] || fail "debug --any-version: status $status"
hindsight fork "$work/other.hst" --any-version --at 50% --pace fast -o "$work/fork.hst"
[ "$status" -eq 0 ] || fail "fork --any-version: status $status"
identical "$work/fork.hst"
refused 1 'No such file' debug "$work/none.hst"
echo "another machine version: refused where it matters"

# The trace names the rules that its CPU follows, and where it was made; KVM has those of its host.
hindsight record --engine soft --cpu-rules intel --kernel "$GUESTS/hello.elf" -o "$work/intel.hst"
[ "$status" -eq 0 ] || fail "record --cpu-rules intel: status $status"
hindsight info "$work/intel.hst"
grep -q '^cpu-rules  *intel [0-9]*$' "$work/out" || fail "info does not name the CPU rules"
grep -q '^host  *[^ ]* family [0-9]* model [0-9]* stepping [0-9]*$' "$work/out" || fail "info does not name the host"
identical "$work/intel.hst"
hindsight doctor --json
host=$(sed -n 's/.*"cpu_rules": "\([a-z]*\) .*/\1/p' "$work/out")
other=$([ "$host" = amd ] && echo intel || echo amd)
if [ "$engine" = kvm ]; then
    refused 125 "the machine follows the CPU rules '$other" record --engine kvm --cpu-rules "$other" \
        --kernel "$GUESTS/hello.elf" -o "$work/none.hst"
fi
refused 2 '--cpu-rules via: amd or intel' record --cpu-rules via --kernel "$GUESTS/hello.elf" -o "$work/none.hst"
echo "CPU rules: named, followed, refused where they cannot be"
