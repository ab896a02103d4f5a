#!/usr/bin/env bash
# Names of code that compilers and assemblers make: clones of functions stand under the plain name,
# labels without a type are code where their section is, a struct that a file only declares has
# the members that another file gives it. In a symbol file of two units, over any trace.
source "$(dirname "$0")/common.bash"
cd "$work"

cat >one.c <<'C'
#define OWN __attribute__((noinline, noclone, used))
struct hidden;
struct hidden *known;
struct holder { struct hidden *inner; } holder;
OWN static int twice(int x) { __asm__ volatile(""); return x + 1; }
int work_a(int x) __asm__("work.constprop.0");
OWN int work_a(int x) { return twice(x) * 3; }
int work_b(int x) __asm__("work.isra.0.part.1");
OWN int work_b(int x) { return twice(x) * 5; }
int work_cold(int x) __asm__("work.constprop.0.cold");
OWN int work_cold(int x) { return x * 7; }
int frozen(int x) __asm__("frozen.cold");
OWN int frozen(int x) { return x * 9; }
OWN int workbench(int x) { return x * 11; }
int _start(int x) { return work_a(x) + work_b(x) + workbench(x) + frozen(x) + work_cold(x); }
C
cat >two.c <<'C'
struct hidden { long first; struct deeper *next; int numbers[3]; };
struct deeper { char letter; short second; } deeper;
struct hidden instance[2];
__attribute__((noinline, used)) static int twice(int x) { __asm__ volatile(""); return x + 2; }
int call(int x) { return twice(x); }
C
cat >three.S <<'ASSEMBLY'
    .text
    .globl a_label
a_label:
    nop
    ret
    .data
    .globl a_word
a_word:
    .quad 0x1122334455667788
ASSEMBLY
cc -g -O2 -fno-stack-protector -fno-pie -ffreestanding -nostdlib -static -Wl,-Ttext=0x40100000 \
    -o names one.c two.c three.S >out 2>&1 || fail "building"
hindsight record --engine "$(first_engine)" --pace fast --kernel "$GUESTS/hello.elf" -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"

# says PATTERN COMMAND: what the command prints with these symbols.
says()
{
    hindsight debug t.hst --batch -ex "add-symbol-file $work/names 0x40100000 -f" -ex "$2"
    grep -qE -- "$1" out err || fail "'$2' does not say '$1'"
}
says 'work\. \(2 locations\)$' 'break work'
says '<work\.constprop\.0>: file' 'break work.constprop.0'
says '<work\.constprop\.0\.cold>: file' 'break work.constprop.0.cold'
says '<frozen\.cold>: file' 'break frozen'
says '<workbench>: file' 'break workbench'
says 'twice\. \(2 locations\)$' 'break twice'
says "no function 'wor'" 'break wor'
label=0x$(nm names | sed -n 's/^0*\([0-9a-f]*\) T a_label$/\1/p')
says "^Breakpoint 1 at $label <a_label>" 'break *a_label'
says "^Breakpoint 1 at $label <a_label>" 'break a_label'
says "} $label <a_label>" 'print a_label'
says "'a_word' is data" 'break a_word'
says '= \(.*\) 0x8$' 'print &((struct hidden *)0)->next'
says '= 32$' 'print sizeof(*known)'
says '= 32$' 'print sizeof(*holder.inner)'
says '= \(.*\) 0x20$' 'print (struct hidden *)0 + 1'
says '= \(.*\) 0x10$' 'print &((struct hidden *)0)->numbers[0]'
says 'offset 8' 'ptype struct hidden'
echo "names: ok"
