#!/usr/bin/env bash
# Recordings that end early. A signal leaves a complete trace that says so; a full disk or a closed
# pipe ends the run with an error and a trace that is good up to its last chunk.
source "$(dirname "$0")/common.bash"

# start ENGINE PACE GUEST OPTIONS TRACE: in the background, until events are on the disk. The spin
# guest computes so fast on KVM that a short run is enough for the software CPU to search.
start()
{
    "$HINDSIGHT" record --engine "$1" --pace "$2" --kernel "$GUESTS/$3.elf" --append "$4" -o "$5" \
        --serial null >"$work/out" 2>"$work/err" </dev/null &
    child=$!
    children=("$child")
    if [ "$3" = spin ]; then
        wait_for caught TERM "$child"
        wait_for computed "$child" 10
    else
        wait_for has_events "$5"
    fi
}

has_events()
{
    local events
    events=$("$HINDSIGHT" info "$1" --json 2>/dev/null |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["last_event"])' 2>/dev/null) || return 1
    [ "$events" -gt 100 ]
}

setting()
{
    "$HINDSIGHT" info "$1" --json | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"
}

for engine in $(engines); do
    for signal in INT TERM HUP; do
        case $signal in
        INT) number=2 guest=(clock ticks=1000000) pace=real ;;
        TERM) number=15 guest=(pio count=100000000) pace=fast ;;
        HUP) number=1 guest=(spin loops=1000000000000) pace=fast ;;
        esac
        rm -f "$work/t.hst"
        start "$engine" "$pace" "${guest[@]}" "$work/t.hst"
        kill -$signal "$child"
        status=0
        wait "$child" || status=$?
        children=()
        [ "$status" -eq $((128 + number)) ] || fail "SIG$signal: status $status"
        [ "$(setting "$work/t.hst" '["complete"]')" = True ] || fail "SIG$signal: no end record"
        [ "$(setting "$work/t.hst" '["end"]["text"]')" = interrupted ] || fail "SIG$signal: not 'interrupted'"
        [ "$(setting "$work/t.hst" '["end"]["status"]')" = $number ] || fail "SIG$signal: another signal"
        identical "$work/t.hst"
        if grep -q 'cut off' "$work/out"; then
            fail "SIG$signal: replays as if cut off"
        fi
        echo "$engine: SIG$signal ends a recording of ${guest[0]} completely"
    done
done

# Ctrl-A x works whether the guest reads its serial port or not, idles or computes.
for engine in $(engines); do
    for guest in 'clock ticks=1000000' 'spin loops=1000000000000'; do
        set -- $guest
        timeout 90 python3 "$here/quit_by_keys.py" "$HINDSIGHT" record --engine "$engine" \
            --kernel "$GUESTS/$1.elf" --append "$2" -o "$work/t.hst" >"$work/out" 2>"$work/err" ||
            fail "Ctrl-A x on $engine with $1: status $?"
        [ "$(setting "$work/t.hst" '["end"]["text"]')" = interrupted ] || fail "Ctrl-A x: not 'interrupted'"
        identical "$work/t.hst"
    done
    echo "$engine: Ctrl-A x ends recordings completely"
done

engine=$(first_engine)
# cut_off TRACE: replays to its last chunk.
cut_off()
{
    hindsight replay "$1"
    [ "$status" -eq 0 ] || fail "what a full disk left: status $status"
    grep -q '^identical: [1-9]' "$work/out" || fail "what a full disk left: not identical"
}

# A limit on the size of files stands for a full disk where no file system can be mounted.
status=0
(
    ulimit -f 300
    exec timeout 90 "$HINDSIGHT" record --engine "$engine" --pace fast --kernel "$GUESTS/pio.elf" \
        --append count=100000000 -o "$work/limit.hst"
) >"$work/out" 2>"$work/err" </dev/null || status=$?
[ "$status" -eq 125 ] || fail "file too large: status $status"
grep -q 'cannot write the trace.*good up to' "$work/err" || fail "file too large: another message"
cut_off "$work/limit.hst"
echo "a file at its size limit: error, and a good trace"

if [ "$(id -u)" -eq 0 ] && mkdir "$work/disk" && mount -t tmpfs -o size=300k tmpfs "$work/disk" 2>/dev/null; then
    hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/pio.elf" --append count=100000000 \
        -o "$work/disk/full.hst"
    cp "$work/disk/full.hst" "$work/full.hst"
    umount "$work/disk"
    [ "$status" -eq 125 ] || fail "full disk: status $status"
    grep -q 'No space left' "$work/err" || fail "full disk: another message"
    cut_off "$work/full.hst"
    echo "a full disk: error, and a good trace"
else
    echo "full disk: no right to mount one here; the size limit stood for it"
fi
refused 125 'a file or a FIFO' record --engine "$engine" --kernel "$GUESTS/hello.elf" -o /dev/full

# A pipe whose reader goes away after 200000 bytes.
mkfifo "$work/pipe"
head -c 200000 "$work/pipe" >"$work/piped.hst" &
hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/pio.elf" --append count=100000000 \
    -o "$work/pipe"
wait $!
[ "$status" -eq 125 ] || fail "closed pipe: status $status"
grep -q 'Broken pipe' "$work/err" || fail "closed pipe: another message"
cut_off "$work/piped.hst"
echo "a closed pipe: error, and what went through replays"

# A whole trace through a pipe.
"$HINDSIGHT" record --engine "$engine" --pace fast --kernel "$GUESTS/clock.elf" --append ticks=20 \
    --serial null -o /dev/stdout 2>"$work/err" </dev/null | cat >"$work/piped.hst"
identical "$work/piped.hst"
if grep -q 'cut off' "$work/out"; then
    fail "a trace through a pipe is not complete"
fi
echo "a whole trace through a pipe: identical"
