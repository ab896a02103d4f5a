#!/usr/bin/env bash
# Faults, gates and privilege, paging, debug exceptions and self-modifying code, as the manuals have
# them: every check passes on the software CPU. On KVM the paging and code checks must pass; what
# else a host's KVM gets wrong (software virtualization emulates ring 0 in part) is shown only.
source "$(dirname "$0")/common.bash"

for guest in cpu_apic cpu_faults cpu_gates cpu_paging cpu_smc cpu_step; do
    for engine in $(engines); do
        hindsight run --engine "$engine" --pace fast --kernel "$GUESTS/$guest.elf"
        summary=$(grep 'checks passed' "$work/out" || true)
        echo "$guest on $engine: ${summary:-no end}"
        [ "$engine" = soft ] || [ "$guest" = cpu_paging ] || [ "$guest" = cpu_smc ] || continue
        [ "$status" -eq 0 ] || fail "$guest on $engine: status $status"
        grep -qE '^[1-9][0-9]* checks passed, 0 failed' "$work/out" || fail "$guest on $engine: a check failed"
    done
done
