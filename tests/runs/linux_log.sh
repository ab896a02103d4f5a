#!/usr/bin/env bash
# Linux finds nothing wrong with the firmware, the processor's registers or its counters: its log on
# the software CPU has no such complaint, and its clock has the model's frequency.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"

autorun <<'GUEST'
poweroff -f
GUEST
hindsight record "${machine[@]}" --pace fast --append 'console=ttyS0 ignore_loglevel' -o "$work/t.hst"
[ "$status" -eq 0 ] || fail "the boot: status $status"
bad='firmware (bug|warn)|bios bug|unchecked msr|failed to access|broken pmu|invalid smp|mptable.*(bad|error)|dmi.*(bad|not present)|acpi.*(error|warning|exception)|bogus|(wr|rd)msr|not found in e820|unstable|no irq handler'
if grep -aniE "$bad" "$work/out"; then
    fail "the log complains"
fi
grep -aq 'AMD PMU driver' "$work/out" || fail "no performance counters"
grep -aq 'DMI: hindsight' "$work/out" || fail "SMBIOS was not found"
grep -aqE 'tsc: Detected (1999|2000)\.[0-9]+ MHz' "$work/out" || fail "the TSC has another frequency"
identical "$work/t.hst"
echo "Linux's log has no complaint about firmware or registers"
