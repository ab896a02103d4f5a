#!/usr/bin/env bash
# A C++ and a Rust program in a guest: breakpoints by demangled names, values as gdb shows them, and
# backtraces from the kernel into both. A C program lives all the while, linked to the same addresses.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
source "$here/linux_debug.bash"
cd "$work"

rustc=/usr/bin/rustc
[ -x "$rustc" ] || rustc=$(command -v rustc) || fail "no rustc (scripts/setup.sh installs it)"
cp "$root/guests/linux/shapes.cc" "$root/guests/linux/shapes.rs" .
c++ -g3 -O1 -static -o cshapes shapes.cc >out 2>&1 || fail "building shapes.cc"
"$rustc" -g -C opt-level=0 -C target-feature=+crt-static -o rshapes shapes.rs >out 2>&1 ||
    fail "building shapes.rs"
cat >waiter.c <<'C'
#include <fcntl.h>
#include <unistd.h>
static volatile int rounds;
int __attribute__((noinline)) wait_again(int i) { return rounds += i; }
int main(void)
{
    close(open("/ready", O_CREAT | O_WRONLY, 0600));
    while (access("/over", F_OK) != 0) {
        wait_again(1);
        usleep(10000);
    }
    return 0;
}
C
build_program waiter waiter.c -static
autorun "$work/cshapes:/cshapes" "$work/rshapes:/rshapes" "$work/waiter:/waiter" <<'GUEST'
/waiter &
until [ -e /ready ]; do :; done
/cshapes
/rshapes
: >/over
wait
poweroff -f
GUEST
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o t.hst
[ "$status" -eq 0 ] || fail "recording: status $status"

# values NAME COMMAND ANSWER...: asks after one another; each answer is a value's text as it is.
values()
{
    local commands=() answers=()
    while [ $# -gt 0 ]; do
        commands+=("$1")
        answers+=("$2")
        shift 2
    done
    ask=("${commands[@]}")
    expected=("${answers[@]}")
}
check_values()
{
    local answer
    for answer in "${expected[@]}"; do
        line=$((line + 1))
        grep -qxF -- "\$$line = $answer" out || fail "value $line is not '$answer'"
    done
}

values 'print *this' \
    '{<geo::Shape> = {_vptr.Shape = VTABLE <vtable for geo::Circle+16>, name = NAME "circle", color = geo::Color::Green, level = geo::HIGH, flags = (geo::BOLD | geo::TALL)}, center = {x = 1.5, y = -2}, radius = 2.5}' \
    'print radius' 2.5 'print radius * 2 + 1' 6 'print (int)radius' 2 'print center.y < -1.5' 1 \
    'print this->color' geo::Color::Green 'print (geo::Color)1' 1 'print geo::Color::Green' geo::Color::Green \
    'print (geo::Flags)11' '(geo::BOLD | geo::WIDE | unknown: 0x8)' 'print geo::HIGH' geo::HIGH \
    'print counter' 3 'print geo::counter' 3 "print 'shapes.cc'::geo::counter" 3 'print calls' 41 \
    'print geo::Circle::area::calls' 41 'print ALL_SIDES + TWICE(1)' 10 'print sizeof(geo::Box<int, 4>)' 16 'print $xmm0.v2_double[0]' 0.5
debug t.hst "add-symbol-file $work/cshapes -process cshapes" 'break geo::Circle::area' continue \
    "${ask[@]}" 'ptype geo::Circle' 'ptype geo::Color' 'info symbol $pc' 'up' 'print box' 'print box.items[1]' \
    'ptype box' 'ptype operation' 'tbreak last' continue 'delete' 'tbreak ksys_write' reverse-continue backtrace
[ "$status" -eq 0 ] || fail "C++: status $status"
sed -i 's/0x[0-9a-f]* <vtable/VTABLE <vtable/; s/name = 0x[0-9a-f]* /name = NAME /' out
start_wants
want '^Breakpoint 1, geo::Circle::area \(this=0x[0-9a-f]+, scale=0.5\) at shapes.cc:'
line=0
check_values
start_wants
want '^type = class geo::Circle : public geo::Shape \{$'
want '^    geo::Point center; /\* offset 32 \*/$'
want '^    virtual double area\(double\) const;$'
want '^type = enum class geo::Color : unsigned char \{geo::Color::Red, geo::Color::Green = 5\}$'
want '^<geo::Circle::area\(double\) const>$'
want '^#1 .* in measure \(shape=.*box=\.\.\.\)'
want ' = \(const geo::Box<int, 4> &\) @0x[0-9a-f]+: \{items = \{2, 3, 5, 7\}\}$'
want ' = 3$'
want '^type = const geo::Box<int, 4> &$'
want '^type = int \(\*\)\(int, long\)$'
want '^Temporary breakpoint 2, geo::Box<int, 4>::last \(this='
want '^Temporary breakpoint 3, ksys_write'
want '^#0  ksys_write \(fd=1, .*count=6\)'
want 'entry_SYSCALL_64'
want '<system call made here>'
want 'geo::Circle::area \(this='
want 'measure'
want 'main \(\)'

values 'print shapes' \
    '&[shapes::Shape] [shapes::Shape::Circle{center: shapes::Point {x: 1.5, y: -2}, radius: 2.5}, shapes::Shape::Square(4, shapes::Color::Green), shapes::Shape::Empty]' \
    'print shapes[0].radius' 2.5 'print shapes[1].0' 4 'print name' '"three"' 'print *pair' 'shapes::Pair (7, 8)' \
    'print pair.0' 7 'print none' 'core::option::Option<alloc::boxed::Box<i32, alloc::alloc::Global>>::None' \
    'print letter' "113 'q'" 'print shapes::Color::Green' shapes::Color::Green
debug t.hst "add-symbol-file $work/rshapes -process rshapes" 'break shapes::outer::look' continue \
    "${ask[@]}" 'ptype shapes::Point' up 'print tuple' 'print array' 'print tuple.1' 'print color' \
    'tbreak <shapes::Shape as shapes::Area>::area' continue 'print *self' 'tbreak ksys_write' continue backtrace
[ "$status" -eq 0 ] || fail "Rust: status $status"
start_wants
want '^Breakpoint 1, shapes::outer::look \(shapes=\.\.\., name=\.\.\., .*letter=113 .q.\) at shapes.rs:'
line=0
check_values
start_wants
want '^type = struct shapes::Point \{$'
want '^    f64 x; /\* offset 0 \*/$'
want '^#1 .* in shapes::main \(\)'
want ' = \(23, 25.5\)$'
want ' = \[1, 2, 3\]$'
want ' = 25.5$'
want ' = shapes::Color::Green$'
want '^Temporary breakpoint 2, <shapes::Shape as shapes::Area>::area \(self=.*, scale=0.5\)'
want ' = shapes::Shape::Circle\{center: .*, radius: 2.5\}$'
want '^#0  ksys_write \(fd=1'
want 'entry_SYSCALL_64'
want '<system call made here>'
want '<shapes::Shape as shapes::Area>::area \(self='
want 'shapes::outer::look'
want 'shapes::main \(\)'
echo "C++ and Rust by their own names"

# All three at once, in the order in which they start; what is at the place of one of them in another is
# nothing. A name that two of them have is that of both.
debug t.hst "add-symbol-file $work/waiter -process waiter" "add-symbol-file $work/cshapes -process cshapes" \
    "add-symbol-file $work/rshapes -process rshapes" 'tbreak geo::Circle::area' 'tbreak shapes::outer::look' \
    'break wait_again if rounds < 2' continue continue continue current delete 'seek start' 'break main' \
    continue current continue current
[ "$status" -eq 0 ] || fail "programs side by side: status $status"
start_wants
want 'reakpoint 3, wait_again \(i=1\)'
want 'reakpoint 1, geo::Circle::area \(this='
want 'reakpoint 2, shapes::outer::look'
want '^\* .* rshapes '
want '^Breakpoint 4, main \(\) at waiter.c:'
want '^\* .* waiter '
want '^Breakpoint 4, main \(\) at shapes.cc:'
want '^\* .* cshapes '
echo "three programs, two of them at the same addresses"
