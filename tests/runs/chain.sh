#!/usr/bin/env bash
# From a failure that shows now and then to its fix: found by a hunt with default settings, kept in a
# suite, narrowed to the choice that decides, replayed by the suite, gone with the fixed build. First
# the crash guest, then a race of two contexts in a module of Debian's kernel.
source "$(dirname "$0")/common.bash"
cd "$work"

# chase NAME RUNS MACHINE...: hunts on until one run fails and one passes; sets good.
chase()
{
    local name=$1 step=$2 runs=0
    shift 2
    while ! [ -e "$(ls "$name"/fail-*.hst 2>/dev/null | head -n 1)" ] || ! [ -e "$(ls "$name"/pass-*.hst)" ]; do
        runs=$((runs + step))
        [ $runs -le $((12 * step)) ] || fail "$name: $runs runs all end alike: $(cat "$name/runs")"
        hindsight hunt "$@" --runs $runs -o "$name"
        [ "$status" -le 1 ] || fail "hunt $name: status $status"
    done
    good=$(ls "$name"/pass-*.hst)
}

# narrow NAME STATUS OPTION...: sets bad to a failure that one choice decides; what was told is in `told`.
narrow()
{
    local name=$1 wanted=$2
    shift 2
    for bad in "$name"/fail-*.hst; do
        hindsight bisect "$bad" "$good" -o "narrow-$name" "$@"
        [ "$status" -le 1 ] || fail "bisect $bad: status $status"
        cp out told
        [ "$status" -ne 0 ] || break
    done
    [ "$status" -eq 0 ] || fail "no failure of $name is decided by one choice"
    grep -q "^one choice decides it: with it exit status $wanted, without it 0; " told || fail "what decides $name"
    identical "narrow-$name/bad.hst"
    identical "narrow-$name/good.hst"
}

# keep NAME: the pair goes into a suite, of which boot files are kept once; the suite is as recorded.
keep()
{
    mkdir -p suite
    hindsight unpack "$bad" -o "suite/$1-bad.hst" --store store
    hindsight unpack "$good" -o "suite/$1-good.hst" --store store
    hindsight test suite --store store --junit "$1.xml"
    [ "$status" -eq 0 ] || fail "the suite with $1: $(cat out)"
    grep -q "^ok [0-9]* - suite/$1-bad.hst$" out && grep -q "^ok [0-9]* - suite/$1-good.hst$" out ||
        fail "$1 is not in the suite"
}

# verdict STATUS TEXT ARGUMENT...: of a rerun.
verdict()
{
    local wanted=$1 text=$2
    shift 2
    hindsight rerun "$@"
    [ "$status" -eq "$wanted" ] && grep -q "^$text$" out || fail "rerun $*: status $status"
}

# ---- The crash guest ----
chase crash 20 --engine soft --kernel "$GUESTS/crash.elf" --append 'ticks=100 hz=10000'
narrow crash 85
grep -q '^  a timer fires early after event [0-9]*: vCPU 0 ' told && grep -q '^    #0 ' told || fail "crash: no place"
keep crash
# What must be true of it: it panics for its lists.
printf '%s\n' 'seek end' 'break guest_panic' reverse-continue 'assert $rdi == 0x2a' >suite/crash-bad.check
hindsight test suite --store store
[ "$status" -eq 0 ] || fail "the suite with a check: $(cat out)"
verdict 1 'the failure is still there' suite/crash-bad.hst --store store
verdict 0 'the failure is gone' suite/crash-bad.hst --store store --kernel "$GUESTS/crash_fixed.elf" -o crash-fixed.hst
identical crash-fixed.hst --store store
echo "crash guest: $(sed -n 2p told)"

# ---- A race in a kernel module ----
source "$here/linux.bash"
source "$here/linux_debug.bash"
build_module tally
folder=$work/fixed build_module tally -DFIXED
for folder in fixed tally; do
    autorun "$work/$folder/tally.ko:/tally.ko" <<'GUEST'
insmod /tally.ko
for sample in one two three; do
    echo $sample >/dev/tally
done
poweroff -f
GUEST
    mv initrd $folder.cpio
done
linux=(--engine soft --memory 256M --kernel "$cache/vmlinuz" --initrd tally.cpio
    --append 'console=ttyS0 oops=panic quiet')
names=(--symbols "$vmlinux" -ex "modules $work/tally")

chase tally 4 "${linux[@]}"
# The choices before the one that decides are hundreds, and each run is a boot: not the fewest are wanted.
narrow tally 100 --runs 8 "${names[@]}"
grep -q '^  a timer fires early after event [0-9]*: vCPU 0 ' told || fail "tally: no timer"
grep -qE '^    #[0-3] .*(weigh|add_sample) \(.* at tally\.c:[0-9]+$' told || fail "tally: not where the sample is added"
grep -q '^    A .*BUG: kernel NULL pointer dereference' told || fail "tally: not what A printed"
keep tally
# The bad run, in the guest's words: who used the batch, and who had closed it.
hindsight debug suite/tally-bad.hst --store store --batch -ex "add-symbol-file $vmlinux" -ex "modules $work/tally" \
    -ex 'seek end' -ex 'catch exception 14' -ex reverse-continue -ex delete -ex 'backtrace 3' \
    -ex 'last-write open_batch'
[ "$status" -eq 0 ] || fail "tally, debugged: status $status"
start_wants
want '^#[01] .*add_sample \(sample='
want '^About to be written at '
want '^close_batch \(timer=.* at tally\.c:[0-9]+$'
verdict 1 'the failure is still there' suite/tally-bad.hst --store store
verdict 0 'the failure is gone' suite/tally-bad.hst --store store --initrd fixed.cpio -o tally-fixed.hst
identical tally-fixed.hst --store store
hindsight test suite tally-fixed.hst --store store
[ "$status" -eq 0 ] && grep -q '^1\.\.5$' out || fail "the suite with the fixed run: $(cat out)"
echo "kernel module: $(sed -n 2p told)"
