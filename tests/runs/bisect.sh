#!/usr/bin/env bash
# What a hunt found is narrowed to the choice of its seed that decides it, and said in the guest's words.
source "$(dirname "$0")/common.bash"
cd "$work"

# A lost update of two processors: one turn of hundreds, ended between load and store.
hindsight hunt --engine soft --cpus 2 --kernel "$GUESTS/race.elf" --stop-after 1 --jobs 2 --runs 200 -o race
[ "$status" -eq 1 ] || fail "the lost update is not found: $(cat out)"
bad=$(ls race/fail-*.hst | head -1) good=$(ls race/pass-*.hst | head -1)
hindsight bisect "$bad" "$good" -o narrow
[ "$status" -eq 0 ] || fail "bisect: status $status"
cp out told
for text in 'the seed made [0-9]* choices, and without any the exit status is 0$' '^one choice decides it: with it exit status 19, without it 0; [0-9] of the ' \
    '^  a turn ends after event [0-9]*: vCPU [01] has retired [0-9]* instructions, and vCPU [01] runs$' \
    '^    #0  .*add_one () at race.c:42$' '^    A  *from event [0-9]*: panic: [0-9]* of 2000 updates lost$' \
    '^    B  *from event [0-9]*: race: nothing happened$'; do
    grep -q "$text" told || { cat told; fail "no '$text'"; }
done
# The two runs that are left: one fails and one does not, and they replay.
for run in bad good; do
    identical narrow/$run.hst --engine soft
done
hindsight info --json narrow/bad.hst
grep -q '"exit_status": 19' out || fail "the narrowed run does not fail"
hindsight info --json narrow/good.hst
grep -q '"exit_status": 0' out || fail "the run without the choice fails"
echo "race: $(sed -n 2p told)"
# A few runs do not get there, and nothing else is said.
hindsight bisect "$bad" --runs 4 -o few
[ "$status" -eq 1 ] || fail "too few runs: status $status"
grep -q '^--runs ended the search before one choice was found: ' out && ! grep -q 'decides it' out || fail "too few runs: $(cat out)"

# Choices are followed: all of them make the run that made them, whatever noted it.
hindsight record --like "$bad" --note-choices all --serial null -o again.hst
[ "$status" -eq 19 ] || fail "recorded anew: status $status"
hindsight record --like "$bad" --choices all --note-choices followed --serial null -o followed.hst
[ "$status" -eq 19 ] && cmp all followed || fail "following all choices: status $status"
hindsight diff again.hst followed.hst --no-context
[ "$status" -eq 0 ] || fail "the run that follows all choices is another"

# Ticks that come early. Some seeds' failures do not depend on them: that is said.
hindsight hunt --engine soft --kernel "$GUESTS/crash.elf" --append 'ticks=100 hz=10000' --runs 60 --stop-after 3 --keep 3 -o crash
narrowed=0
for bad in crash/fail-*.hst; do
    hindsight bisect "$bad" -o narrow-crash
    case $status in
    0)
        narrowed=$((narrowed + 1))
        grep -q '^  a timer fires early after event [0-9]*: vCPU 0 ' out || fail "$bad: no timer"
        grep -q 'panic: ' out || fail "$bad: no panic on the console"
        identical narrow-crash/bad.hst
        ;;
    1) grep -q '^the choices do not decide it' out || fail "$bad: not said why" ;;
    *) fail "$bad: status $status" ;;
    esac
done
[ $narrowed -gt 0 ] || fail "no crash is narrowed down"
echo "crash: $narrowed of 3 are decided by early ticks"

# What cannot be narrowed.
hindsight record --engine soft --kernel "$GUESTS/hello.elf" --pace fast --serial null -o hello.hst
refused 125 'give --seed N' bisect hello.hst -o x
refused 125 'end the same' bisect "$good" "$good" -o x
refused 125 'No such file' bisect none.hst -o x
refused 2 'give the trace of a failure' bisect "$bad"
refused 2 '--runs 3' bisect "$bad" -o x --runs 3
echo 'turn 0 1 0 1' >bad-choices
refused 125 'is no choice of a run' record --like "$bad" --choices bad-choices --serial null -o x.hst
refused 125 'choices are those of a seed' record --engine soft --kernel "$GUESTS/hello.elf" --choices all --serial null -o x.hst
head -c -2000 "$bad" >short.hst
hindsight bisect short.hst -o x
[ "$status" -eq 125 ] || fail "a trace that was cut off: status $status"
echo "and what cannot be narrowed is said"
