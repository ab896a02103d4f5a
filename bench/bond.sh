#!/usr/bin/env bash
# What bonding gives: two machines exchange frames over one to three links of limited speed. Prints
# for each the frames exchanged each way in a second of virtual time, and the bytes that came in with
# repetitions.
# bench/bond.sh [BUILD]; RATE (bytes a second of each link), COUNT (frames), LINKS, MODES.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../build}
rate=${RATE:-1000000} count=${COUNT:-6000} links=${LINKS:-1 2 3} modes=${MODES:-rr hash backup}
work=$(mktemp -d)
children=()
trap 'kill "${children[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
port=$((20000 + $$ % 10000))

machine()
{
    timeout 300 "$build/bin/hindsight" record --engine soft --serial null --kernel "$build/guests/net.elf" \
        --append "count=$count id=$1 size=1400" --net "$2" -o "$work/$1.hst" 2>"$work/$1.err"
}

printf '%-8s %5s %14s %10s\n' bond links frames/s MB/s
for mode in $modes; do
    for number in $links; do
        near= far= children=()
        for ((i = 0; i < number; i++)); do
            p=$((port + 4 * i))
            python3 "$here/slow_link.py" $((p + 1)) $p $((p + 2)) $((p + 3)) "$rate" &
            children+=($!)
            near+="link=udp:$p:127.0.0.1:$((p + 1)),"
            far+="link=udp:$((p + 3)):127.0.0.1:$((p + 2)),"
        done
        port=$((port + 20))
        machine 1 "${near}bond=$mode" &
        machine 2 "${far}bond=$mode"
        wait $!
        kill "${children[@]}"
        wait "${children[@]}" 2>/dev/null || true
        seconds=$(sed -n 's/.* \([0-9.]*\) s of virtual time.*/\1/p' "$work/1.err")
        "$build/bin/hindsight" dump --kind net "$work/1.hst" |
            awk -v mode="$mode" -v links="$number" -v seconds="$seconds" -v count="$count" '
                / received by / { bytes += $6 }
                END { printf "%-8s %5d %14.0f %10.2f\n", mode, links, count / seconds, bytes / seconds / 1e6 }'
    done
done
