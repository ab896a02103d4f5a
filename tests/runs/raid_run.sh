#!/usr/bin/env bash
# The disk guest over each RAID level while a member fails and a spare takes its place: recorded,
# then replayed after the images are gone; placement in the dump checked by
# raid_dump.py.
source "$(dirname "$0")/common.bash"
[ -f "$GUESTS/disk.elf" ] || exit 77
cd "$work"

record()
{
    "$HINDSIGHT" record --engine soft --kernel "$GUESTS/disk.elf" --append "random=60 seed=$seed" \
        "$@" -o t.hst >out 2>err </dev/null
}

for level in 0 1 5; do
    members=(a b c)
    [ $level -eq 1 ] && members=(a b)
    [ $level -eq 5 ] && members=(a b c d)
    seed=$((level + 1))
    "$HINDSIGHT" raid create --level $level --chunk 16K --size 1M "${members[@]}" >out 2>err ||
        fail "create"
    truncate -s "$(stat -c %s a)" spare
    disk=raid=$level,chunk=16K$(printf ',file=%s' "${members[@]}")
    fault=()
    if [ $level -ne 0 ]; then
        disk+=,spare=spare
        fault=(--fault disk0:member1:fail@t=2ms)
    fi
    record --disk "$disk" "${fault[@]}" || fail "RAID $level: the guest failed"
    grep -q 'sectors are right' out || fail "RAID $level: the guest did not finish"
    "$HINDSIGHT" dump --kind disk t.hst >dump 2>err || fail "dump"
    if [ $level -ne 0 ]; then
        grep -q 'member1 failed' dump || fail "RAID $level: no failure in the trace"
        grep -q 'member1 rebuilt' dump || fail "RAID $level: no rebuild in the trace"
        "$HINDSIGHT" raid scrub a spare "${members[@]:2}" >out 2>err ||
            fail "RAID $level: members disagree after the rebuild"
    fi
    python3 "$here/raid_dump.py" $level ${#members[@]} 32 <dump >out 2>err ||
        fail "RAID $level: placement"
    rm -f "${members[@]}" spare
    # The level that computes most, on every engine this host has.
    replay_on=soft
    [ $level -eq 5 ] && replay_on=$(engines)
    for engine in $replay_on; do
        "$HINDSIGHT" replay --engine "$engine" t.hst >out 2>err </dev/null ||
            fail "RAID $level: replay on $engine differs"
    done
    rm -f t.hst
done

# Bad sectors remove no member: some read again once they are written, some are bad for good. The
# replay does the same, with the images gone.
for level in 1 5; do
    members=(a b c)
    "$HINDSIGHT" raid create --level $level --chunk 16K --size 1M "${members[@]}" >out 2>err ||
        fail "create"
    seed=9
    record --disk "raid=$level$(printf ',file=%s' "${members[@]}")" \
        --fault disk0:member0:eio@lba=40 --fault disk0:member1:eio@lba=100,t=1ms \
        --fault disk0:member1:unreadable@lba=200,t=2ms --fault disk0:member2:eio@lba=300 \
        --fault disk0:member0:unreadable@lba=7 || fail "RAID $level with bad sectors"
    grep -q 'sectors are right' out || fail "RAID $level: the guest did not finish"
    "$HINDSIGHT" dump --kind disk t.hst >dump 2>err || fail "dump"
    grep -q 'member0 bad-sector' dump || fail "RAID $level: no bad sector in the trace"
    ! grep -q 'failed' dump || fail "RAID $level: a bad sector removed a member"
    "$HINDSIGHT" raid status "${members[@]}" >out 2>err || fail "status"
    grep -q 'optimal' out || fail "RAID $level is not optimal"
    grep -q 'active .*a (1 bad sectors)' out || fail "RAID $level: member 0 lists no bad sector"
    rm -f "${members[@]}"
    for engine in $(engines); do
        "$HINDSIGHT" replay --engine "$engine" t.hst >out 2>err </dev/null ||
            fail "RAID $level with bad sectors: replay on $engine differs"
    done
done

# Two failures on RAID 5: the guest sees an I/O error (debug-exit value 4).
"$HINDSIGHT" raid create --level 5 --size 1M a b c >out 2>err || fail "create"
seed=1 status=0
record --disk raid=5,file=a,file=b,file=c --fault disk0:member0:fail@t=2ms \
    --fault disk0:member2:fail@t=4ms || status=$?
[ $status -eq 9 ] || fail "two failures gave status $status, not 9"
grep -q 'panic: .* at sector' out || fail "the guest saw no I/O error"
rm -f a b c
"$HINDSIGHT" replay t.hst >out 2>err </dev/null || fail "two failures: replay differs"

# With snapshot=on nothing is written to the images.
"$HINDSIGHT" raid create --level 5 --size 1M a b c >out 2>err || fail "create"
before=$(cat a b c | cksum)
record --disk raid=5,file=a,file=b,file=c,snapshot=on || fail "snapshot"
[ "$(cat a b c | cksum)" = "$before" ] || fail "a snapshot changed its images"
echo "raid_run: ok"
