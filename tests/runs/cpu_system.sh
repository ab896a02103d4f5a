#!/usr/bin/env bash
# Faults, gates and privilege, paging, debug exceptions and self-modifying code, as the manuals have
# them: every check passes on either engine, whatever the host's KVM makes of them; with ring 3
# entering KVM at every chance, too.
source "$(dirname "$0")/common.bash"

for guest in cpu_apic cpu_deadline cpu_faults cpu_gates cpu_paging cpu_smc cpu_step; do
    for engine in $(engines); do
        for mode in default eager; do
            [ "$engine" = kvm ] || [ "$mode" = default ] || continue
            export HINDSIGHT_KVM=$mode
            hindsight run --engine "$engine" --pace fast --kernel "$GUESTS/$guest.elf"
            summary=$(grep 'checks passed' "$work/out" || true)
            echo "$guest on $engine, $mode: ${summary:-no end}"
            [ "$status" -eq 0 ] || fail "$guest on $engine: status $status"
            grep -qE '^[1-9][0-9]* checks passed, 0 failed' "$work/out" ||
                fail "$guest on $engine: a check failed"
        done
    done
done
