#!/usr/bin/env bash
# Two Linux guests on a link of two, in each way of bonding: PACKETS cross it, one link is cut midway
# and the other carries all. Each recording replays alone.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
packets=${PACKETS:-4000}
modes=${MODES:-rr hash backup}
port=$((20000 + $$ % 10000))
cd "$work"

autorun <<'GUEST'
for word in $(cat /proc/cmdline); do
    case $word in
    own=* | peer=* | pings=*) eval "$word" ;;
    esac
done
ifconfig eth0 "$own" up
if [ "$pings" -gt 0 ]; then
    until ping -c 1 -W 1 "$peer" >/dev/null; do :; done
    ping -q -A -c 100 "$peer" >/dev/null
    echo "frames cross"
    ping -q -A -c "$pings" "$peer"
    for try in 1 2 3 4 5 6 7 8; do
        ! echo over | nc -w 5 "$peer" 9 || break
    done
else
    # Frames arrive in all the code that starts a process, page faults above all.
    nc -l -p 9 &
    for i in $(seq 20000); do
        kill -0 $! 2>/dev/null && /bin/busybox true || break
    done
    ifconfig eth0 | grep packets
fi
poweroff -f
GUEST

# guest NAME PORTS APPEND: in the background
guest()
{
    timeout 900 "$HINDSIGHT" record "${machine[@]}" --pace real --append "console=ttyS0 $3" -o "$1.hst" \
        --net "$2,bond=$mode" >"$1.out" 2>"$1.err" </dev/null &
    children+=($!)
}

number()
{
    sed -n "$1" "$2" | tr -d '\r' | head -n 1
}

for mode in $modes; do
    # Link 1 is direct, the first in the list goes through the relay that is cut: backup starts there.
    python3 "$here/relay.py" $((port + 1)) $((port)) $((port + 2)) $((port + 3)) &
    relay=$!
    children=("$relay")
    guest b "link=udp:$((port + 3)):localhost:$((port + 2)),link=udp:$((port + 5)):localhost:$((port + 4))" \
        "own=10.0.0.2 peer=10.0.0.1 pings=0"
    b=${children[-1]}
    guest a "link=udp:$port:localhost:$((port + 1)),link=udp:$((port + 4)):localhost:$((port + 5))" \
        "own=10.0.0.1 peer=10.0.0.2 pings=$((packets / 2))"
    a=${children[-1]}
    for _ in $(seq 1800); do
        ! grep -q '^frames cross' a.out || break
        kill -0 "$a" 2>/dev/null || fail "$mode: the guest ended: $(tail -n 2 a.out a.err)"
        sleep 0.1
    done
    kill -9 "$relay"
    wait "$a" || fail "$mode: the first guest: status $?"
    wait "$b" || fail "$mode: the second guest: status $?"
    children=()
    received=$(number 's/.* packets transmitted, \([0-9]*\) packets received.*/\1/p' a.out)
    [ -n "$received" ] || fail "$mode: no result: $(tail -n 5 a.out)"
    # What was under way on the cut link is lost, until it is found dead.
    [ "$received" -ge $((packets / 2 - packets / 20 - 20)) ] ||
        fail "$mode: only $received of $((packets / 2)) pings were answered"
    for name in a b; do
        identical "$name.hst"
        links=$("$HINDSIGHT" info "$name.hst" | sed -n 's/^ *input link *\([0-9]*\) records.*/\1/p')
        [ "$links" -ge "$received" ] || fail "$mode: $name sent $links frames only"
    done
    echo "$mode: $received of $((packets / 2)) pings answered with a link cut; both replay"
done
