#!/usr/bin/env bash
# Damaged traces: FLIPS single bytes flipped, cut at CUTS random lengths, and files that are no trace.
# Each is refused with exit status 4 or replays as before; a cut one replays to its last chunk.
source "$(dirname "$0")/common.bash"
flips=${FLIPS:-100} cuts=${CUTS:-20}
new_seed
engine=$(first_engine)

hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/clock.elf" --append ticks=30 \
    -o "$work/clock.hst"
[ "$status" -eq 0 ] || fail "record clock: status $status"
printf 'some\ntyped\nlines\nq\n' | timeout 90 "$HINDSIGHT" record --engine "$engine" --pace fast \
    --kernel "$GUESTS/echo.elf" -o "$work/echo.hst" >"$work/out" 2>"$work/err" || fail "record echo: $?"
for trace in clock echo; do
    timeout 850 python3 "$here/damage.py" "$HINDSIGHT" "$work/$trace.hst" $((flips / 2)) "$SEED" ||
        fail "$trace: a flipped byte"
done

# Cut short: what is left up to the last complete chunk replays.
hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/pio.elf" --append count=20000 \
    -o "$work/pio.hst"
[ "$status" -eq 0 ] || fail "record pio: status $status"
identical "$work/pio.hst"
events=$(replayed_events)
size=$(stat -c %s "$work/pio.hst")
cut_replays=0
for round in $(seq "$cuts"); do
    length=$(((RANDOM * 32768 + RANDOM) % size))
    ((round % 2)) && length=$((size - 1 - length % 10000))
    head -c "$length" "$work/pio.hst" >"$work/cut.hst"
    hindsight replay "$work/cut.hst"
    case $status in
    0)
        grep -q '^identical: ' "$work/out" || fail "cut to $length: not identical"
        [ "$(replayed_events)" -le "$events" ] || fail "cut to $length: more events than before"
        cut_replays=$((cut_replays + 1))
        ;;
    4) [ "$(wc -l <"$work/err")" -eq 1 ] || fail "cut to $length: not an error of one line" ;;
    *) fail "cut to $length: status $status" ;;
    esac
done
[ "$cut_replays" -gt 0 ] || fail "none of the cut traces could be replayed"
echo "cut short $cuts times: $cut_replays replayed, the rest refused"

# damaged TEXT FILE: refused by all who read traces.
damaged()
{
    local command
    for command in replay info dump verify; do
        refused 4 "$1" "$command" "$2"
    done
    refused 4 "$1" strip "$2" -o "$work/stripped.hst"
    [ ! -e "$work/stripped.hst" ] || fail "strip $2: leaves a file behind"
}

: >"$work/empty.hst"
damaged 'empty' "$work/empty.hst"
head -c 5000 /dev/urandom >"$work/noise.hst"
damaged 'not a' "$work/noise.hst"
damaged 'not a' "$GUESTS/clock.elf"
for command in replay info dump verify; do
    refused 1 'directory' "$command" "$work"
    refused 1 'No such file' "$command" "$work/none.hst"
done

# Another version, another architecture: the header's checksum is right, as a later hindsight or
# one for another machine would write it.
for what in version architecture; do
    python3 "$here/patch_header.py" "$work/clock.hst" "$work/patched.hst" $what
    hindsight replay "$work/patched.hst"
    [ "$status" -eq 4 ] || [ "$status" -eq 1 ] || fail "another $what: status $status"
    grep -q "$what" "$work/err" || fail "another $what: the message does not say so"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "another $what: more than one line"
done
echo "files that are no trace of this version and architecture: refused"
