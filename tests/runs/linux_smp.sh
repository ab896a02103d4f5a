#!/usr/bin/env bash
# Debian's kernel on four vCPUs: all come up, a load on all of them gives the right answers, and each
# run replays identically, interpreted and in native code; COUNT recordings. A fork from the middle
# goes on. Numbers of vCPUs that no machine has are refused.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
count=${COUNT:-2}

autorun <<'GUEST'
echo "processors: $(nproc)"
for i in 1 2 3 4 5 6 7 8; do
    (n=0; while [ $n -lt 300 ]; do n=$((n + 1)); done; echo $n >/tmp.$i) &
done
wait
cat /tmp.[1-8] | sort | uniq -c
poweroff -f
GUEST

for seed in $(seq "$count"); do
    hindsight record "${machine[@]}" --cpus 4 --seed "$seed" --pace fast --append console=ttyS0 \
        --serial "file:$work/console" -o "$work/smp.hst"
    [ "$status" -eq 0 ] || fail "recording: status $status"
    grep -q '^processors: 4' "$work/console" || fail "not all vCPUs came up"
    grep -q '^ *8 300' "$work/console" || fail "the load's answers are wrong"
    identical "$work/smp.hst"
done
echo "four vCPUs and a load on them: $count recordings replayed identically"

HINDSIGHT_NATIVE=off identical "$work/smp.hst"
hindsight dump "$work/smp.hst" --kind turn
[ "$(wc -l <"$work/out")" -gt 1000 ] || fail "the trace has few turns"
hindsight fork "$work/smp.hst" --at 50% --pace fast -o "$work/fork.hst"
[ "$status" -eq 0 ] || fail "a fork: status $status"
identical "$work/fork.hst"
echo "the trace replays interpreted, lists its turns, and forks"

for number in 0 17 x -1; do
    refused 2 '--cpus' run --engine soft --cpus "$number" --kernel "$GUESTS/hello.elf"
done
for turn in 0 5..4 1K.. x 2000M; do
    refused 2 'turns' run --engine soft --cpus 2 --turn "$turn" --kernel "$GUESTS/hello.elf"
done
refused 125 'software CPU' run --engine kvm --cpus 2 --kernel "$GUESTS/hello.elf"
