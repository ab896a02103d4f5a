#!/usr/bin/env bash
# A fork changes the past's continuation: bytes in memory, registers, a break and a key on the serial
# line. Each is in the new trace, which replays identical and alone.
source "$(dirname "$0")/common.bash"
cd "$work"

for engine in $(engines); do
    hindsight record --engine "$engine" --pace fast --kernel "$GUESTS/hello.elf" -o old.hst
    [ "$status" -eq 0 ] || fail "record hello on $engine: status $status"
    hindsight debug old.hst --batch -ex 'seek 3' -ex 'find "hello, world"'
    place=$(grep -x '0x[0-9a-f]*' out | tail -n 1)
    [ -n "$place" ] || fail "no text in memory ($engine)"

    hindsight fork old.hst --at 3 --poke "phys:$place=48 45" --poke "$(printf '0x%x' $((place + 3)))=4C" \
        -o new.hst
    [ "$status" -eq 0 ] || fail "fork on $engine: status $status"
    grep -q '^HElLo, world' out || fail "the changed bytes are not what the guest prints ($engine)"
    identical new.hst
    hindsight replay --console new.hst
    grep -q '^HElLo, world' out || fail "the replay prints something else ($engine)"
    hindsight dump --kind memory new.hst
    grep -q "memory $place 2 bytes 0x4548" out || fail "no such event ($engine)"
done

# In the middle of a stretch of instructions it lands first.
hindsight fork old.hst --at 3.2 --set r15=0x123456789a --set rflags=0x8d5 -o set.hst
[ "$status" -eq 0 ] || fail "--set: status $status"
identical set.hst
hindsight dump set.hst
grep -q '^4 landing (+2 instructions)' out || fail "no landing"
grep -q '^5 register r15 = 0x123456789a' out || fail "no register"
hindsight debug set.hst --batch -ex 'seek 6' -ex 'print/x $r15' -ex 'print/x $eflags' -ex 'seek 4' \
    -ex 'print $r15 == 0x123456789a'
grep -q '= 0x123456789a$' out || fail "r15 in the replay"
grep -q '= 0x8d7$' out || fail "flags in the replay"
grep -q '= 0$' out || fail "r15 before the change"

# The guest's next bytes are the break's zero and the key, as soon as it listens.
printf 'first\nq\n' >typed
"$HINDSIGHT" record --engine soft --pace fast --kernel "$GUESTS/echo.elf" -o echo.hst <typed >out 2>err ||
    fail "record echo"
printf 'q\n' >typed
"$HINDSIGHT" fork echo.hst --at 1 --pace fast --inject sysrq:K -o key.hst <typed >out 2>err || fail "fork echo"
identical key.hst
hindsight dump key.hst
grep -q '^[0-9]* break' out || fail "no break"
grep -A 1 '^[0-9]* break' out | grep -q 'console port 0 1 bytes 0x4b' || fail "no key after the break"

for wrong in --inject=beep --inject=nmi:99 --inject=sysrq: --set=rax --set=cr3=0 --set=rax=x --poke=0=1 --poke=0= --poke=x=00; do
    refused 2 "${wrong%%=*}" fork old.hst --at 3 -o wrong.hst "$wrong"
done
refused 125 'not mapped' fork old.hst --at 3 --poke 0xfffffff000000000=00 -o wrong.hst
refused 125 'no memory at' fork old.hst --at 3 --poke phys:0xffffffff00000000=00 -o wrong.hst
refused 125 'no address of code' fork old.hst --at 3 --set rip=0xffff0000000000 -o wrong.hst
refused 125 'no vCPU 1' fork old.hst --at 3 --inject nmi:1 -o wrong.hst
echo "a fork's changes are recorded and replayed"
