#!/usr/bin/env bash
# 'hindsight raid': creating, sorting, scrubbing and rebuilding arrays of files, and what it says of
# files that make none.
set -euo pipefail
[ -x "$HINDSIGHT" ] || exit 77

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"

fail() {
    echo "raid_cli: $1" >&2
    exit 1
}

# expect STATUS WORDS COMMAND...: the exit status, and words in what is printed
expect() {
    local want=$1 words=$2 status=0 output
    shift 2
    output=$("$HINDSIGHT" raid "$@" 2>&1) || status=$?
    [ "$status" -eq "$want" ] || fail "'raid $*' gave status $status, not $want: $output"
    [[ $output == *"$words"* ]] || fail "'raid $*' does not say '$words': $output"
}

expect 0 'RAID 5 of 3 members, 16777216 bytes' create --level 5 --chunk 64K --size 8M a b c
[ "$(stat -c %s a)" -eq $((8 * 1024 * 1024 + 296 * 512)) ] || fail "member size"
[ "$(du -k a | cut -f1)" -lt 200 ] || fail "a new member is not sparse"
expect 0 'optimal' status c a b
expect 0 'file=a,file=b,file=c' assemble c a b
expect 0 '(missing)' status a c
expect 0 'no mismatches' scrub b c a

# A byte changed behind the array's back, in the data of stripe 1.
printf 'x' | dd of=b bs=1 seek=70000 conv=notrunc status=none
expect 1 'member sector 136' scrub a b c
expect 0 '1 repaired' scrub a b c --repair
expect 0 '"mismatches": 0' scrub a b c --json

# Replacing a member gives its data byte for byte.
expect 0 'all members are active' rebuild --replace b=d a c
cmp -n $((8 * 1024 * 1024)) b d || fail "the rebuilt member differs"
expect 0 'was replaced as member 1' status a b c d
expect 1 'is missing' scrub a b c
expect 0 'optimal' status a c d

# Existing files: parity is made to fit what they hold (RAID 5 has no data of its own to prefer).
for i in 1 2 3 4; do
    dd if=/dev/urandom of=e$i bs=1M count=1 status=none
done
expect 0 'RAID 5 of 4' create --level 5 --chunk 4K e1 e2 e3 e4
expect 0 'no mismatches' scrub e4 e3 e2 e1
python3 - <<'PYTHON' || fail "parity is not the XOR of the others"
import sys
members = [open(f"e{i}", "rb").read() for i in (1, 2, 3, 4)]
rows = (len(members[0]) // 512 - 296) * 512 // 4096 * 4096
total = 0
for member in members:
    total ^= int.from_bytes(member[:rows], "little")
sys.exit(total != 0)
PYTHON
# Mirrors take the first one's content.
for i in 5 6; do
    dd if=/dev/urandom of=e$i bs=1M count=1 status=none
done
cp e5 before
expect 0 'RAID 1 of 2' create --level 1 --name mirror e5 e6
cmp -n 800000 e5 e6 || fail "mirrors differ"
cmp -n 800000 e5 before || fail "the first mirror was changed"
expect 0 'RAID 1 mirror' assemble e6 a d e5 c

# A member restored from an older copy is out of date, and is rebuilt in its place.
expect 0 'RAID 5 of 3' create --level 5 --chunk 16K --size 1M s1 s2 s3
cp s2 older
head -c 20000 /dev/urandom | dd of=s1 conv=notrunc status=none
expect 0 'repaired' scrub s1 s2 s3 --repair
cp older s2
expect 0 'degraded' status s1 s2 s3
expect 0 's2: is out of date as member 1 (event' status s3 s2 s1
expect 1 'out of date as member 1' scrub s1 s2 s3
expect 0 'all members are active' rebuild s1 s2 s3
expect 0 'no mismatches' scrub s1 s2 s3

# What is refused changes nothing: an array with an almost rebuilt spare, not stopped in order.
unchanged() {
    local before after
    before=$(cat s1 s2 s3 older | cksum)
    expect "$@"
    after=$(cat s1 s2 s3 older | cksum)
    [ "$before" = "$after" ] || fail "'raid ${*:3}' was refused and changed a file"
}
if [ -f "$GUESTS/disk.elf" ]; then
    rm s1 s2 s3
    expect 0 'RAID 5 of 3' create --level 5 --chunk 4K --size 16M s1 s2 s3
    truncate -s "$(stat -c %s s1)" spare
    "$HINDSIGHT" run --engine soft --pace fast --kernel "$GUESTS/disk.elf" --append passes=1000 \
        --disk raid=5,file=s1,file=s2,file=s3,spare=spare --fault disk0:member1:fail@t=1ms \
        >out 2>err </dev/null &
    guest=$!
    until "$HINDSIGHT" raid status s1 spare s3 2>&1 | grep -q rebuilding; do
        kill -0 $guest 2>err || fail "the guest ended before the rebuild began"
    done
    kill -KILL $guest
    wait $guest 2>err || true
    mv spare s2
    expect 0 'not stopped in order' status s1 s2 s3
    unchanged 1 'degraded' scrub s1 s2 s3
fi
unchanged 1 '' scrub s1 s3
unchanged 1 'degraded' scrub --degraded --force s1 s3
unchanged 1 'degraded' scrub --repair --force s1 s3
unchanged 1 'nothing is being rebuilt' rebuild --force s1 s3
truncate -s 512K tiny
unchanged 1 'the replacement has' rebuild --force --replace s2=tiny s1 s3
unchanged 1 'in use' rebuild --force --replace s2=s1 s1 s3
unchanged 1 'already: use --force' rebuild --replace s2=e5 s1 s3
unchanged 1 'belongs to another array' rebuild --force --replace e5=new s1 s3
[ ! -e new ] || fail "a refused rebuild left its replacement behind"
unchanged 1 'given by another file' rebuild --force --replace s1=new ./s1 s2 s3
unchanged 1 'needs 2' scrub s1
unchanged 1 'given twice' create --level 5 --size 1M --force s1 s2 s1
unchanged 1 'longer than 31' create --level 5 --size 1M --force s1 s2 s3 \
    --name a-name-that-is-longer-than-thirty-one-bytes
unchanged 1 'power of two' create --level 5 --size 1M --chunk 5000 --force s1 s2 s3
mkdir folder
unchanged 1 'regular file' create --level 5 --size 1M --force s1 s2 folder
unchanged 1 'unequal size' create --level 1 --force s1 tiny
unchanged 1 'already' create --level 1 s1 s2

# Bad input.
expect 2 'say which --level' create a b c
expect 2 "is not 0, 1 or 5" create --level 4 a b c
expect 2 'no files' status
expect 2 'unknown option' status --frob a
expect 2 'is not create' frob
expect 2 'needs a value' create a --level
expect 1 'power of two' create --level 5 --chunk 5000 --size 1M x y z
expect 1 'at least 3 members' create --level 5 --size 1M x y
expect 1 'exists already' create --level 5 --size 1M a x y
[ ! -e x ] || fail "files were left behind"
expect 1 'already' create --level 0 a d
expect 1 'missing' scrub a c
expect 1 'No such file' status nothing
truncate -s 1M small
truncate -s 2M large
expect 1 'unequal size' create --level 1 small large
expect 1 'has no superblock' status small
cp a copy
expect 1 'which is given already' scrub a copy c d
expect 1 'another array' scrub a c d e5
truncate -s 4M a
expect 1 'cut short' status a
if [ "$(id -u)" -ne 0 ]; then
    chmod a-w c
    expect 1 'make it writable' scrub c d
fi
echo "raid_cli: ok"
