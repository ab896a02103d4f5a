#!/usr/bin/env bash
# A guest whose every boundary follows the delivery of a fault, where no run can be stopped by a count
# of instructions: the timer, a typed byte and a signal get in all the same, and the recording replays.
source "$(dirname "$0")/common.bash"

begun()
{
    grep -q 'starve: begins' "$work/console"
}

# start OPTIONS: records in the background, typed at through file descriptor 3.
start()
{
    rm -f "$work/typed" "$work/console"
    mkfifo "$work/typed"
    "$HINDSIGHT" record --engine "$engine" --kernel "$GUESTS/starve.elf" --append "$1" -o "$work/t.hst" \
        <"$work/typed" >"$work/console" 2>"$work/err" &
    child=$!
    children=("$child")
    exec 3>"$work/typed"
    wait_for begun
}

# ends STATUS: the recorder in the background does, with this status, and its trace replays.
ends()
{
    local other
    wait_for gone
    status=0
    wait "$child" || status=$?
    children=()
    exec 3>&-
    [ "$status" -eq "$1" ] || fail "starve on $engine: status $status, not $1"
    for other in $(engines); do
        identical "$work/t.hst" --engine "$other"
    done
}

gone()
{
    ! kill -0 "$child" 2>/dev/null
}

for engine in $(engines); do
    start ticks=20
    ends 0
    grep -q 'ended by the timer' "$work/console" || fail "starve on $engine: the timer did not end it"
    start ticks=0
    printf q >&3
    ends 0
    grep -q 'ended by typing' "$work/console" || fail "starve on $engine: typing did not end it"
    start ticks=0
    kill -TERM "$child"
    ends 143
    echo "starve on $engine: the timer, a typed byte and SIGTERM get in"
done
