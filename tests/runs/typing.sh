#!/usr/bin/env bash
# The echo guest, typed at over every kind of serial port, COUNT times each: the replay is identical
# and prints the same.
source "$(dirname "$0")/common.bash"
count=${COUNT:-2}

check()
{
    identical "$work/echo.hst"
    identical "$work/echo.hst" --console
    grep -q '^bye' "$work/out" || fail "$1: the replay prints no 'bye'"
    head -c "$(stat -c %s "$work/console")" "$work/out" | cmp -s - "$work/console" ||
        fail "$1: the replay prints something else than the recorded run"
    for other in $(engines); do
        identical "$work/echo.hst" --engine "$other"
    done
}

for engine in $(engines); do
    arguments=(record --engine "$engine" --kernel "$GUESTS/echo.elf" -o "$work/echo.hst")
    for round in $(seq "$count"); do
        # A pipe: everything is there at once, more than the UART's FIFO holds.
        printf 'one\ntwo\x7fx\nthis is a line of more than sixteen characters\nq\n' |
            timeout 90 "$HINDSIGHT" "${arguments[@]}" >"$work/console" 2>"$work/err" ||
            fail "echo on $engine from a pipe: status $?"
        grep -q 'you typed 3 characters: twx' "$work/console" || fail "echo: a wrong answer"
        check pipe
        # The end of the input alone ends nothing but the input: the guest then idles for good.
        printf 'unfinished' | timeout 90 "$HINDSIGHT" "${arguments[@]}" >"$work/console" 2>"$work/err" ||
            fail "echo on $engine from a pipe that ends: status $?"
        identical "$work/echo.hst"
        for kind in stdio pty unix tcp; do
            timeout 120 python3 "$here/type_at_echo.py" $kind "$work" "$HINDSIGHT" "${arguments[@]}" \
                2>"$work/err" || fail "echo on $engine over $kind"
            check "$kind"
        done
    done
    echo "echo recorded on $engine: $count times identical over pipe, terminal, pty, unix and tcp"
done
