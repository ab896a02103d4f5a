#!/usr/bin/env bash
# record.sh BUILD [--soft]: makes the stored traces anew, those of this host's KVM or, with --soft,
# those of the software CPU. See README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${1:?"usage: record.sh BUILD [--soft]"}
hindsight=$build/bin/hindsight

# record NAME GUEST OPTIONS ARGUMENT...
record()
{
    local name=$1 guest=$2 options=$3
    shift 3
    "$hindsight" record --pace fast --start-time 1700000000 --memory 16M --serial null \
        --kernel "$build/guests/$guest.elf" --append "$options" "$@" -o "$here/new.hst"
    version=$("$hindsight" info --json "$here/new.hst" | sed -n 's/.*"machine_version": \([0-9]*\).*/\1/p')
    mv "$here/new.hst" "$here/$name-v$version.hst"
}

if [ "${2:-}" = --soft ]; then
    for rules in amd intel; do
        record "$rules-soft-vendor" vendor 'rounds=40' --engine soft --cpu-rules "$rules"
        record "$rules-soft-repeat" repeat 'rounds=1 user=40 count=3000 hz=20000' --engine soft --cpu-rules "$rules"
    done
    # The local APIC, its modes and its timer.
    record amd-soft-apic cpu_apic '' --engine soft --cpu-rules amd
    # A RAID 5 that loses a member on the way.
    images=$(mktemp -d)
    "$hindsight" raid create --level 5 --chunk 16K --size 128K "$images"/{a,b,c,d}
    record amd-soft-raid disk 'random=12 seed=3' --engine soft --cpu-rules amd \
        --disk "raid=5,chunk=16K,file=$images/a,file=$images/b,file=$images/c,file=$images/d" \
        --fault disk0:member1:fail@t=100us
    rm -r "$images"
    exit
fi
host=$("$hindsight" doctor --json | sed -n 's/.*"host": "\([A-Za-z]*\) family \([0-9]*\) model \([0-9]*\) .*/\1-\2-\3/p')
host=${host/AuthenticAMD/amd} host=${host/GenuineIntel/intel}
export HINDSIGHT_KVM=eager
record "$host-kvm-vendor" vendor 'rounds=40 x87=0' --engine kvm
record "$host-kvm-repeat" repeat 'rounds=1 user=100 count=3000 hz=1000' --engine kvm
record "$host-kvm-faults" cpu_faults '' --engine kvm
record "$host-kvm-step" cpu_step '' --engine kvm
