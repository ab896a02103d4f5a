#!/usr/bin/env bash
# The recorder is killed at KILLS random moments; what is left of the trace replays to its last
# complete chunk. Killed before it had written its boot files, there is nothing to replay: then, and
# only then, the trace is refused as damaged.
source "$(dirname "$0")/common.bash"
kills=${KILLS:-10}
new_seed

# What a trace of this guest has in front: header, configuration, boot files.
front()
{
    "$HINDSIGHT" record --engine soft --max-time 1us --kernel "$GUESTS/$1.elf" -o "$work/front.hst" \
        --serial null >/dev/null 2>&1 </dev/null || [ $? -eq 108 ]
    "$HINDSIGHT" info --json "$work/front.hst" |
        python3 -c 'import json, sys; print(64 + json.load(sys.stdin)["configuration"]["stored_bytes"])'
}
declare -A front_bytes=([pio]=$(front pio) [clock]=$(front clock))

for engine in $(engines); do
    replayed=0 early=0
    for round in $(seq "$kills"); do
        rm -f "$work/t.hst"
        if ((round % 2)); then
            guest=(pio 'count=100000000')
        else
            guest=(clock 'ticks=1000000')
        fi
        "$HINDSIGHT" record --engine "$engine" --pace real --kernel "$GUESTS/${guest[0]}.elf" \
            --append "${guest[1]}" -o "$work/t.hst" >"$work/out" 2>"$work/err" </dev/null &
        child=$!
        children=("$child")
        # Mostly in the run, now and then while it starts.
        ms=$((RANDOM % 5 ? RANDOM % 1500 : RANDOM % 30))
        sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
        kill -9 "$child" || fail "the recorder ended by itself"
        wait "$child" 2>/dev/null || true
        children=()
        if [ ! -e "$work/t.hst" ]; then
            early=$((early + 1))
            continue
        fi
        hindsight replay "$work/t.hst"
        case $status in
        0)
            grep -q '^identical: .*cut off' "$work/out" || fail "after ${ms} ms: not identical, cut off"
            replayed=$((replayed + 1))
            hindsight verify "$work/t.hst"
            [ "$status" -eq 0 ] || fail "after ${ms} ms: verify says $status"
            ;;
        4)
            # Only a file that ends before its boot files do may be refused. (The command line in
            # the configuration makes it a few bytes longer.)
            [ "$(stat -c %s "$work/t.hst")" -lt $((front_bytes[${guest[0]}] + 64)) ] ||
                fail "after ${ms} ms: damaged"
            early=$((early + 1))
            ;;
        *) fail "after ${ms} ms: status $status" ;;
        esac
    done
    [ "$replayed" -gt 0 ] || fail "every recorder died before it had written anything"
    echo "$engine: $kills killed, $replayed replayed to the last chunk, $early had written nothing yet"
done
