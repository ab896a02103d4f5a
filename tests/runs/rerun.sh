#!/usr/bin/env bash
# What a recorded run got, into a changed guest: is the failure gone, still there, or does what was
# typed no longer fit, and from where.
source "$(dirname "$0")/common.bash"
cd "$work"

# verdict STATUS TEXT ARGUMENT...
verdict()
{
    local wanted=$1 text=$2
    shift 2
    hindsight rerun "$@"
    [ "$status" -eq "$wanted" ] || fail "rerun $*: status $status, not $wanted"
    grep -q -- "$text" out || fail "rerun $*: no '$text'"
}

# same A B: the two runs are one, event by event.
same()
{
    hindsight diff "$1" "$2" --no-context
    [ "$status" -eq 0 ] || fail "$1 and $2 are two runs"
}

# ---- A race, found by a seed ----
hindsight hunt --engine soft --kernel "$GUESTS/crash.elf" --append 'ticks=600 hz=10000' --runs 60 --stop-after 1 --jobs 1 -o hunt
crash=$(ls hunt/fail-*.hst)
verdict 1 '^the failure is still there$' "$crash" -o again.hst
same "$crash" again.hst
verdict 1 '^the failure is still there$' "$crash" --kernel "$GUESTS/crash.elf"
verdict 0 '^the failure is gone$' "$crash" --kernel "$GUESTS/crash_fixed.elf" -o fixed.hst
identical fixed.hst
verdict 0 '"verdict": "gone", "status": 0, "recorded": {"outcome": "status", "exit_status": 85,' --json "$crash" \
    --kernel "$GUESTS/crash_fixed.elf"
python3 -m json.tool <out >pretty || fail "no JSON"
verdict 7 '^the guest fails, in another way$' "$crash" --kernel "$GUESTS/strays.elf" --append stray=2 --cpus 2
verdict 108 '^the guest ran on and on' "$crash" --kernel "$GUESTS/spin.elf" --append loops=300000000000
hindsight unpack "$crash" -o stored.hst --store store
verdict 1 'still there' stored.hst --store store
refused 6 'store' rerun stored.hst --store nowhere
echo "a race is still there, and gone"

# ---- What was typed ----
printf 'hello\nsecond line\nq\n' >typed
"$HINDSIGHT" record --engine soft --pace fast --kernel "$GUESTS/echo.elf" --append fail=1 -o typed.hst <typed >console 2>err || status=$?
[ "$status" -eq 19 ] || fail "the guest does not fail: $status"
verdict 1 'still there' typed.hst -o again.hst
same typed.hst again.hst
# The prompt comes later, and after other lines; what is typed comes to it.
for changed in 'lines=3' 'lines=40 work=300000'; do
    verdict 0 '^the failure is gone$' typed.hst --append "$changed" --serial file:changed -o changed.hst
    grep -q '^> hello.$' changed && grep -q 'you typed 11 characters: second line' changed && grep -q '^bye' changed ||
        { cat changed; fail "$changed: something else was typed"; }
    identical changed.hst
    verdict 1 'still there' typed.hst --append "$changed fail=1"
done
# ... and earlier.
verdict 0 'no failure, then or now' changed.hst --append lines=1 --serial file:changed
grep -q '^bye' changed || fail "an earlier prompt: not all was typed"
# Another prompt: nothing fits, from the first piece on.
verdict 8 '^what was typed fits up to piece 1 of 1, "hello.*", typed at event [0-9]* ([0-9.]* s) after "> "$' typed.hst --append prompt=0
grep -q '^  here that does not show after event 0 (0.000000 s): the last line is "\$ "$' out || fail "not said where it waits"
verdict 8 '"unfit": {"piece": 1, .*"after": "> ", .*"last_line": "\$ "}' typed.hst --append prompt=0 --json

# Typed by a person: a key after each echo, a line after each prompt.
python3 "$here/type_after.py" "$HINDSIGHT" record --engine soft --pace real --kernel "$GUESTS/echo.elf" -o slow.hst -- \
    '> ' a 'a' b 'b' $'\n' 'typed 2 characters: ab\r\n> ' q 'q' $'\n' bye ''
verdict 0 'no failure, then or now' slow.hst -o again.hst
same slow.hst again.hst
verdict 0 'no failure, then or now' slow.hst --append 'lines=9 work=20000' --serial file:changed
grep -q 'you typed 2 characters: ab' changed || fail "other keys were typed"
verdict 8 '^what was typed fits up to piece 1 of 5, "a", ' slow.hst --append prompt=0
verdict 7 '^the guest fails, in another way$' slow.hst --append fail=1
echo "what was typed follows its prompt"

# ---- Entropy, without a seed ----
hindsight record --engine soft --pace fast --kernel "$GUESTS/entropy.elf" --serial file:entropy -o entropy.hst
verdict 0 'no failure' entropy.hst --serial file:changed -o again.hst
cmp entropy changed || fail "another entropy"
verdict 0 '^the guest asked for more entropy than was recorded: [0-9]* bytes are new$' entropy.hst --append rounds=12 --serial file:changed
head -n 8 entropy | cmp -n 200 - <(head -n 8 changed) || fail "entropy is not that of the recorded run"

# ---- What cannot be rerun ----
head -c -2000 "$crash" >short.hst
refused 125 'the recording was cut off' rerun short.hst
refused 4 'not a hindsight trace' rerun "$here/rerun.sh"
refused 125 'No such file' rerun none.hst
refused 2 'give a trace' rerun
refused 2 'on --engine soft' rerun "$crash" --engine kvm
refused 2 "'more' is not understood" rerun "$crash" more
refused 125 'No such file' rerun "$crash" --kernel none.elf
refused 125 'this trace does not have' rerun typed.hst --choices typed
hindsight fork "$crash" --at 50% --inject nmi -o forked.hst --serial null
refused 125 'changed by a fork' rerun forked.hst
echo "and what cannot be is said"
