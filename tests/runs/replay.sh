#!/usr/bin/env bash
# Each guest is recorded and replayed COUNT times on each engine, once with the host under load; the
# replay must be identical. Then each trace replays on the other engine.
source "$(dirname "$0")/common.bash"
count=${COUNT:-3}

# The software CPU's time is its instructions: far more exits fit in a tick of 1 ms than on KVM.
options()
{
    case $2 in
    clock) echo "ticks=100" ;;
    compute) echo "limit=200000" ;;
    crash) [ "$1" = kvm ] && echo "ticks=400 hz=1000" || echo "ticks=20 hz=50000" ;;
    pio) echo "count=3000" ;;
    spin) echo "loops=4000000" ;;
    esac
}

# record ENGINE GUEST: success is the guest's own end; the crash guest may find its lists corrupt.
record()
{
    hindsight record --engine "$1" --pace fast --kernel "$GUESTS/$2.elf" --append "$(options "$1" "$2")" \
        -o "$work/$2.hst"
    [ "$status" -eq 0 ] || { [ "$2" = crash ] && [ "$status" -eq 85 ]; } ||
        fail "record $2 on $1: status $status"
    [ "$status" -ne 85 ] || panics=$((panics + 1))
    cp "$work/out" "$work/console"
    recorded=$(sed -n 's/.*: \([0-9]*\) events,.*/\1/p' "$work/err")
}

load=
panics=0
for engine in $(engines); do
    for guest in hello clock ports compute crash pio spin; do
        for round in $(seq "$count"); do
            if [ "$round" -eq "$count" ]; then
                (while :; do :; done) &
                load=$!
                children+=("$load")
            fi
            record "$engine" "$guest"
            identical "$work/$guest.hst"
            [ -n "$load" ] && kill "$load" && wait "$load" 2>/dev/null || true
            load=
            if [ "$recorded" != "$(replayed_events)" ]; then
                fail "$guest: $recorded events recorded, $(replayed_events) replayed"
            fi
        done
        identical "$work/$guest.hst" --console
        # The console's bytes come before the verdict.
        head -c "$(stat -c %s "$work/console")" "$work/out" | cmp -s - "$work/console" ||
            fail "$guest: the replay prints something else than the recorded run"
        for other in $(engines); do
            [ "$other" = "$engine" ] || identical "$work/$guest.hst" --engine "$other"
        done
        echo "$guest recorded on $engine: $count times identical"
    done
done
echo "crash: $panics runs hit the planted bug"
