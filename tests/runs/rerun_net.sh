#!/usr/bin/env bash
# What a recorded guest received from a network, into a changed guest, without the network: the same
# guest runs as it did, event by event; another gets the frames in their order, or it is said from
# which one on they do not fit.
source "$(dirname "$0")/common.bash"
cd "$work"

# record SIDE OPTIONS ARGUMENT...: one of two machines, in the background.
record()
{
    local side=$1 other=$((3 - $1)) options=$2
    shift 2
    timeout -k 5 120 "$HINDSIGHT" record --engine soft --seed 7 --serial "file:$side.txt" --kernel "$GUESTS/net.elf" \
        --append "id=$side $options" --net "link=unix:a$side:a$other,link=unix:b$side:b$other,bond=rr" "$@" \
        -o "$side.hst" >"$side.err" 2>&1 &
    children+=($!)
    machines[side]=$!
}

# ended SIDE STATUS
ended()
{
    local got=0
    wait "${machines[$1]}" || got=$?
    [ "$got" -eq "$2" ] || fail "machine $1: status $got, not $2: $(cat "$1.err" "$1.txt")"
}
machines=()

# verdict STATUS TEXT ARGUMENT...
verdict()
{
    local wanted=$1 text=$2
    shift 2
    hindsight rerun "$@"
    [ "$status" -eq "$wanted" ] || fail "rerun $*: status $status, not $wanted"
    grep -q -- "$text" out || fail "rerun $*: no '$text'"
}

# same TRACE: its rerun is one run with it, event by event, and replays.
same()
{
    hindsight diff "$1" again.hst --no-context
    [ "$status" -eq 0 ] || fail "$1: the rerun is another run"
    identical again.hst
}

# ---- Two machines, of which one waits and one computes and has two processors ----
record 1 'count=1000'
record 2 'count=1000 work=3000' --cpus 2 --chaos --fault net0:link1:down@t=100ms
ended 1 0
ended 2 0
rm -f a1 a2 b1 b2
for side in 1 2; do
    verdict 0 '^no failure, then or now$' "$side.hst" -o again.hst --serial file:again.txt
    same "$side.hst"
    cmp "$side.txt" again.txt || fail "machine $side: the rerun prints something else"
done
[ -z "$(find . -name '[ab][12]')" ] || fail "a rerun opened a link"
echo "the same guest receives the same frames at the same events"

# ---- Changed guests ----
# What it sends is other bytes: nobody hears them.
verdict 0 '^no failure, then or now$' 1.hst --append 'id=3 count=1000' -o changed.hst --serial file:changed
grep -q '^net: all 1000 frames sent and received' changed || fail "a changed guest does not receive all"
identical changed.hst
# It is slower: frames wait for buffers, and for what it sends.
verdict 0 '^no failure, then or now$' 1.hst --kernel "$GUESTS/net.elf" --append 'id=1 count=1000 work=2000' \
    -o slower.hst --serial file:changed
grep -q '^net: all 1000 frames sent and received' changed || fail "a slower guest does not receive all"
identical slower.hst
hindsight diff 1.hst slower.hst --no-context
[ "$status" -eq 1 ] || fail "a slower guest runs as the recorded one did"
# In their order, each as it was.
for trace in 1 changed slower; do
    hindsight dump --kind net "$trace.hst"
    grep -o ' received by.*' out >"$trace.received"
    cmp 1.received "$trace.received" || fail "$trace.hst: other frames were received"
done
verdict 7 '^the guest fails, in another way$' 1.hst --append 'id=1 count=1000 fail=500'
# It does not send at all, nor take anything. The machine that sent before it received waits for that; which one it was, or
# whether both were, is not known.
waiting=0
for side in 1 2; do
    verdict 8 '^what was received fits up to frame 1 of [0-9]*, of net0, received at event [0-9]* ([0-9.]* s) after [0-9]* were sent$' \
        "$side.hst" --kernel "$GUESTS/spin.elf" --append loops=1000
    if grep -q ' after 0 were sent$' out; then
        grep -q '^  here the guest does not take it from [0-9.]* s on$' out || fail "not said that it is not taken"
    else
        grep -q '^  here only 0 are sent, and it does not come after event 0 (0.000000 s)$' out ||
            fail "not said what it waits for"
        waiting=$((waiting + 1))
    fi
done
[ "$waiting" -gt 0 ] || fail "both machines received before they sent"
grep -q '^the inputs no longer fit$' out || fail "no verdict"
verdict 8 '"unfit": null, "frames": [0-9]*, "received": 0, "unfit_frame": {"frame": 1, "net": 0, .*"sent": 0, ' \
    1.hst --kernel "$GUESTS/spin.elf" --append loops=1000 --json
python3 -m json.tool <out >pretty || fail "no JSON"
refused 2 'the networks are those of the trace' rerun 1.hst --net link=unix:a1:a2
echo "a changed guest receives them in their order"

# ---- A failure ----
record 1 'count=1000 fail=300'
record 2 'count=1000 patience=1'
ended 1 15
ended 2 13
verdict 1 '^the failure is still there$' 1.hst -o again.hst
same 1.hst
verdict 7 '^the guest fails, in another way$' 1.hst --append 'id=1 count=1000 patience=1' -o silent.hst --serial file:silent
grep -q 'no progress after [0-9]* sent and [0-9]* received' silent || fail "frames come that nobody sent"
identical silent.hst
verdict 108 '^the guest ran on and on' 1.hst --append 'id=1 count=1000'
echo "after the last frame nobody answers"
