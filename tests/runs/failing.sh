#!/usr/bin/env bash
# Every malloc, write, pwrite, fsync and mmap in turn fails, alone and with all that follow: what
# comes of it is a message and a status that is true, or what would have come anyway.
# EVERY=N looks at every Nth only.
source "$(dirname "$0")/common.bash"
preload=$(dirname "$HINDSIGHT")/fail_nth.so
[ -e "$preload" ] || exit 77
every=${EVERY:-1}

# failing NAME EVERY ARGUMENT...: see failing.py.
failing()
{
    python3 "$here/failing.py" "$HINDSIGHT" "$preload" "$work" "$1" $((every * $2)) "${@:3}" ||
        fail "$1 with failures"
}

failing record 1 record --engine soft --pace fast --serial null --kernel "$GUESTS/disk.elf" \
    --append 'passes=1 random=5' --disk file=DISK -o TRACE
if [ "$(first_engine)" = kvm ]; then
    failing record 3 record --engine kvm --pace fast --serial null --kernel "$GUESTS/spin.elf" \
        --append loops=100000 -o TRACE
fi
"$HINDSIGHT" record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" \
    -o "$work/hello.hst" 2>/dev/null
failing replay 1 replay "$work/hello.hst" --console
failing fork 1 fork "$work/hello.hst" --at 50.0 --pace fast --serial null -o TRACE

# Stops and breakpoints; then all that looks.
cat >"$work/stops" <<'END'
tbreak boot_main
continue
break guest_main if $rsp != 0
commands
print boot
info args
end
watch *(long *)$rsp
continue
bt
info breakpoints
condition 2 $rax == 1
delete 2
reverse-stepi
finish
reverse-continue
bookmark here
END
failing debug 1 debug "$work/hello.hst" --batch -x "$work/stops"
cat >"$work/looks" <<'END'
seek 50%
break guest_main
display/i $pc
display/x $rsp
seek start
continue
ptype struct boot_info
info line
info symbol $pc
info registers
info locals
disassemble
x/2s 0x100000
x/4xg $rsp
print *boot
set $a = 5
events
console 2
idt 3
pagetable 0x100000
checkpoint
info checkpoints
when
END
failing debug 1 debug "$work/hello.hst" --batch -x "$work/looks"

mkdir "$work/raid"
"$HINDSIGHT" raid create --level 5 --chunk 64K --size 256K "$work/raid/"{a,b,c} >/dev/null
for command in status scrub assemble; do
    failing raid 1 raid $command FOLDER/a FOLDER/b FOLDER/c
done
failing raid 1 raid rebuild --replace FOLDER/b=FOLDER/new FOLDER/a FOLDER/c
