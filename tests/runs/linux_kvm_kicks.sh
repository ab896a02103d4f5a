#!/usr/bin/env bash
# Debian's cloud kernel on KVM with a landing at every kick, PAUSE nanoseconds (200000) after the one
# before, in ring 0 and ring 3, from boot to power-off: a shell script with processes, pipes and a file
# system in memory; with COMPILE=1 in the environment a C compiler, too. COUNT recordings, and one with
# ring 3 on KVM at every chance, where a kick comes ten times as late (EAGER_PAUSE): that guest is slow,
# and the landings are more than in the others all the same. Each replays identically on both engines.
source "$(dirname "$0")/common.bash"
needs_kvm
source "$here/linux.bash"
cd "$work"
files=()
if [ "${COMPILE:-0}" = 1 ]; then
    compiler >list || fail "no C compiler whose parts can be copied into a guest"
    mapfile -t files <list
    printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' >hello.c
    files+=("$work/hello.c:/hello.c")
fi
autorun "${files[@]}" <<'GUEST'
mkdir /t && mount -t tmpfs t /t
i=0
while [ $i -lt 20 ]; do
    seq $i 200 | sort -r | md5sum >/t/$i
    i=$((i + 1))
done
cat /t/* | md5sum
[ ! -e /hello.c ] || { /compile /hello.c /t/hello && /t/hello; }
echo went well
poweroff -f
GUEST

# check WHAT
check()
{
    status=0
    timeout 800 "$BUILD/bin/record_kicked" t.hst "$cache/vmlinuz" initrd "console=ttyS0 quiet" "${PAUSE:-200000}" \
        >console 2>err || status=$?
    if [ "$status" -eq 77 ]; then
        cat console
        exit 77
    fi
    [ "$status" -eq 0 ] || fail "record: status $status"
    grep 'went well' console >/dev/null || fail "the guest does not end well"
    if [ "${COMPILE:-0}" = 1 ]; then
        grep '^compiled' console >/dev/null || fail "no compile"
    fi
    for engine in kvm soft; do
        identical t.hst --engine "$engine"
    done
    echo "$1: $(replayed_events) events, $(tail -n 1 console), identical on kvm and soft"
}

for round in $(seq "${COUNT:-1}"); do
    check "recording $round"
done
export HINDSIGHT_KVM=eager PAUSE=${EAGER_PAUSE:-2000000}
check 'at every chance'
