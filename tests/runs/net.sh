#!/usr/bin/env bash
# Two machines exchange COUNT numbered frames over a bond of two links, one of which breaks midway:
# a wire that is cut, or a link that --fault takes down. All frames get through, each by a link that
# lived, and both traces replay with nothing but themselves. Everything stays on 127.0.0.1.
source "$(dirname "$0")/common.bash"
count=${COUNT:-10000}

# N UDP ports that are free now.
free_ports()
{
    python3 - "$1" <<'END'
import socket, sys
ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]))]
for end in ends:
    end.bind(("127.0.0.1", 0))
print(*[end.getsockname()[1] for end in ends])
END
}

# start ENGINE SIDE FRAMES NET [ARGUMENT...]: records one machine in the background.
start()
{
    local engine=$1 side=$2 frames=$3 net=$4
    shift 4
    timeout -k 5 $((120 + frames / 200)) "$HINDSIGHT" record --engine "$engine" --serial "file:$work/$side.txt" \
        --kernel "$GUESTS/net.elf" --append "count=$frames id=$side" --net "$net" "$@" \
        -o "$work/$side.hst" >"$work/$side.err" 2>&1 &
    children+=($!)
    machines+=($!)
}

finish()
{
    local side=1 child
    for child in "${machines[@]}"; do
        wait "$child" || fail "machine $side: status $?: $(cat "$work/$side.err" "$work/$side.txt")"
        side=$((side + 1))
    done
    machines=()
}
machines=()

# Each sent frame must have gone by a link that the notes say lived then; prints the frames by each.
check_links()
{
    awk '
        / link0 / && / link1 / { for (i = 0; i < 2; i++) state[i] = $(4 + 2 * i); changes++ }
        / sent by no link/ { lost++ }
        / sent by link/ {
            link = substr($5, 5)
            if (state[link] != "" && state[link] != "live") bad++
            sent[link]++
        }
        / received by link/ { received[substr($5, 5)]++ }
        END {
            printf "sent %d %d lost %d received %d %d changes %d\n", sent[0], sent[1], lost,
                received[0], received[1], changes
            exit bad > 0
        }' "$1" || fail "$1: frames left by a link that was not live"
}

# verify FRAMES: consoles, links, that nothing came out of nowhere, and the replays, in an empty folder.
verify()
{
    local frames=$1 side summary
    finish
    for side in 1 2; do
        grep -q "^net: all $frames frames sent and received" "$work/$side.txt" ||
            fail "machine $side: $(cat "$work/$side.txt")"
        hindsight dump --kind net "$work/$side.hst"
        mv "$work/out" "$work/$side.net"
        summary=$(check_links "$work/$side.net")
        set -- $summary
        [ $(($2 + $3)) -ge "$frames" ] || fail "machine $side sent too little: $summary"
        echo "machine $side: $summary; $(tail -n 1 "$work/$side.txt" | tr -d '\r')"
        grep -o ' sent by.*xxh3 [0-9a-f]*' "$work/$side.net" | sed 's/.* //' | sort -u >"$work/$side.sent"
        grep -o ' received by.*xxh3 [0-9a-f]*' "$work/$side.net" | sed 's/.* //' | sort -u \
            >"$work/$side.received"
    done
    [ -z "$(comm -23 "$work/1.received" "$work/2.sent" | head -n 1)" ] ||
        fail "machine 1 received what machine 2 did not send"
    [ -z "$(comm -23 "$work/2.received" "$work/1.sent" | head -n 1)" ] ||
        fail "machine 2 received what machine 1 did not send"
    mkdir -p "$work/alone"
    for side in 1 2; do
        mv "$work/$side.hst" "$work/alone/"
        identical "$work/alone/$side.hst" --console
        head -c "$(stat -c %s "$work/$side.txt")" "$work/out" | cmp -s - "$work/$side.txt" ||
            fail "machine $side: the replay prints something else"
    done
}

# cut ENGINE BOND FRAMES: link 1 goes through a relay that ends midway.
cut()
{
    local ports
    ports=($(free_ports 6))
    : >"$work/relay"
    python3 "$here/relay.py" "${ports[4]}" "${ports[2]}" "${ports[5]}" "${ports[3]}" $(($3 / 2)) \
        >"$work/relay" &
    children+=($!)
    wait_for grep -q ready "$work/relay"
    start "$1" 1 "$3" "link=udp:${ports[0]}:127.0.0.1:${ports[1]},link=udp:${ports[2]}:127.0.0.1:${ports[4]},bond=$2"
    start "$1" 2 "$3" "link=udp:${ports[1]}:127.0.0.1:${ports[0]},link=udp:${ports[3]}:127.0.0.1:${ports[5]},bond=$2"
    verify "$3"
    for side in 1 2; do
        grep -q 'link0 live link1 dead' "$work/$side.net" || fail "machine $side did not see link 1 die"
        grep -q 'sent by link1' "$work/$side.net" || fail "machine $side never sent by link 1"
    done
    echo "$2 on $1, link 1 cut: identical"
}

# The first link is taken down by a fault; with bond=backup all frames moved from it to the second.
take_down()
{
    local ports
    ports=($(free_ports 4))
    start "$1" 1 "$3" "link=udp:${ports[0]}:127.0.0.1:${ports[1]},link=udp:${ports[2]}:127.0.0.1:${ports[3]},bond=$2" \
        --fault net0:link0:down@t=50ms
    start "$1" 2 "$3" "link=udp:${ports[1]}:127.0.0.1:${ports[0]},link=udp:${ports[3]}:127.0.0.1:${ports[2]},bond=$2"
    verify "$3"
    grep -q 'link0 down link1 live' "$work/1.net" || fail "the fault was not noted"
    # On kvm virtual time is the host's: the link may go before the first frame does.
    [ "$1" = kvm ] || grep -q 'sent by link0' "$work/1.net" || fail "machine 1 never sent by link 0"
    grep -q 'sent by link1' "$work/1.net" || fail "machine 1 never sent by link 1"
    echo "$2 on $1, link 0 down: identical"
}

cut soft rr "$count"
take_down soft backup $((count / 10 + 500))
cut soft hash $((count / 10 + 500))
# Going back and forth in such a trace, every stop is the machine that a straight replay has there.
if [ -x "${BUILD:-/nowhere}/bin/timeline_walk" ]; then
    "$BUILD/bin/timeline_walk" "$work/alone/1.hst" 20 1 || fail "timeline"
fi
for engine in $(engines); do
    [ "$engine" = soft ] || take_down "$engine" rr 200
done

# Mistakes are told in a line.
kernel=(run --kernel "$GUESTS/net.elf" --serial null)
refused 2 "no link=" "${kernel[@]}" --net bond=rr
refused 2 "rr, hash or backup" "${kernel[@]}" --net link=udp:1:127.0.0.1:2,bond=x
refused 2 "link9" "${kernel[@]}" --net link=udp:1:127.0.0.1:2 --fault net0:link9:flap
refused 125 "there is no net1" "${kernel[@]}" --net "link=unix:$work/a:$work/b" --fault net1:link0:down
refused 125 "has no link1" "${kernel[@]}" --net "link=unix:$work/a:$work/b" --fault net0:link1:down
refused 125 "udp:LOCALPORT:HOST:PORT" "${kernel[@]}" --net link=udp:1:example.com:2
