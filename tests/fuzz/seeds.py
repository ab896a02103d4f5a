"""seeds.py GUEST: makes tests/fuzz/corpus/NAME/ of the fuzzers whose seeds are made by a script.

GUEST is an ELF file whose code is cut into loop bodies for fuzz_native. Needs gcc and binutils. The
files are committed: a build does not need this.
"""
import os
import struct
import subprocess
import sys
import tempfile

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")

PROGRAM = """
struct node {
    struct node *next;
    unsigned kind : 3, used : 5;
    char name[8];
    union { long a; float b; };
};
enum color { RED, GREEN = 5 };
typedef unsigned long word;
struct orc_entry { short sp, bp; unsigned sp_reg : 4, bp_reg : 4, type : 3, signal : 1; } one;
word counter;
enum color color = GREEN;
struct node node = {&node, 1, 2, "node", {3}};
static inline __attribute__((always_inline)) int inner(int x, struct node *n)
{
    for (int i = 0; i < x; i++)
        counter += n->a + i;
    return (int)counter;
}
__attribute__((noinline)) int outer(int a, struct node *n)
{
    int array[4] = {a, 1, 2, 3};
    volatile int *p = array;
    return inner(p[1], n) + p[a & 3];
}
int main(void)
{
    return outer(3, &node) + (int)color;
}
void _start(void)
{
    main();
    for (;;)
        ;
}
__asm__(".pushsection .orc_unwind_ip,\\"a\\"\\n"
        ".long outer - .\\n .long main - .\\n .long _start - .\\n .popsection\\n"
        ".pushsection .orc_unwind,\\"a\\"\\n"
        ".short 8, 0\\n .short 0x205\\n .short 16, -16\\n .short 0x215\\n"
        " .short 0, 0\\n .short 0x100\\n .popsection\\n");
"""


def keep(fuzzer, name, data):
    folder = os.path.join(here, fuzzer)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def compile_program(*options):
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "p.c"), os.path.join(folder, "p")
        with open(source, "w") as file:
            file.write(PROGRAM)
        subprocess.run(["gcc", "-ffreestanding", "-fno-pie", "-fno-stack-protector",
                        "-fdebug-prefix-map=%s=." % folder, "-o", out, *options, "p.c"],
                       check=True, cwd=folder)
        with open(out, "rb") as file:
            return file.read()


def debug_information():
    linked = ["-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x10000", "-Wl,-N",
              "-Wl,--build-id=none"]
    for name, options in {"dwarf4_o2": ["-gdwarf-4", "-O2"], "dwarf5_o2": ["-gdwarf-5", "-O2"],
                          "dwarf5_o0": ["-gdwarf-5", "-O0"],
                          "debug_frame": ["-gdwarf-4", "-O1", "-fno-asynchronous-unwind-tables"],
                          "split_ranges": ["-gdwarf-5", "-O2", "-ffunction-sections",
                                           "-freorder-blocks-and-partition"]}.items():
        keep("fuzz_dwarf", name, compile_program(*options, *linked))
    for name in "dwarf4", "dwarf5":
        keep("fuzz_dwarf", f"module_{name}",
             compile_program(f"-g{name[:5]}-{name[5]}", "-O1", "-mcmodel=large", "-c"))


def symbol_files():
    keep("fuzz_symbols", "elf", compile_program("-g0", "-O1", "-nostdlib",
                                                "-static", "-no-pie", "-Wl,-N",
                                                "-Wl,-Ttext=0x10000"))
    keep("fuzz_symbols", "module", compile_program("-g0", "-O1", "-c"))
    keep("fuzz_symbols", "system_map",
         b"0000000000000000 D __per_cpu_start\n0000000000001000 D current_task\n"
         b"ffffffff81000000 T _text\nffffffff81000040 t start_kernel\n"
         b"ffffffff81000100 W weak_one\nffffffff82000000 B jiffies\nffffffff82000008 A absolute\n")
    keep("fuzz_symbols", "kallsyms",
         b"ffffffffc0000000 t helper\t[module]\nffffffffc0000010 r table\t[module]\n")


def elf32(machine, entry, address, body, header=b""):
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    head += struct.pack("<IIIIIIII", 1, 0x200, address, address, len(body), len(body) + 64, 7, 4)
    return (head + header).ljust(0x200, b"\0") + body


def elf64(entry, address, body, note=b""):
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 7, 0x200, address, address, len(body), len(body) + 64, 4)
    head += struct.pack("<IIQQQQQQ", 4, 4, 0x180, 0, 0, len(note), len(note), 4)
    return (head.ljust(0x180, b"\0") + note).ljust(0x200, b"\0") + body


def kernels():
    code = b"\xf4" * 64
    pvh = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
    one = struct.pack("<III", 0x1badb002, 7, (-0x1badb002 - 7) & 0xffffffff)
    one_kludge = struct.pack("<IIIIIIII", 0x1badb002, 0x10003, (-0x1badb002 - 0x10003) & 0xffffffff,
                             0x100000, 0x100000, 0, 0, 0x100020)
    tags = (struct.pack("<HHIIIII", 2, 0, 24, 0x100000, 0x100000, 0, 0) +
            struct.pack("<HHIII", 3, 0, 12, 0x100020, 0) + struct.pack("<HHII", 1, 1, 12, 4) +
            bytes(4) + struct.pack("<HHI", 6, 0, 8) + struct.pack("<HHI", 0, 0, 8))
    two = struct.pack("<IIII", 0xe85250d6, 0, 16 + len(tags),
                      (-0xe85250d6 - 16 - len(tags)) & 0xffffffff) + tags
    linux = bytearray(0x800 + 0x400)
    for at, form, value in ((0x1f1, "<B", 3), (0x1f4, "<I", 0x40), (0x1fe, "<H", 0xaa55),
                            (0x200, "<H", 0x6aeb), (0x202, "4s", b"HdrS"), (0x206, "<H", 0x20f),
                            (0x211, "<B", 1), (0x22c, "<I", 0x7fffffff), (0x236, "<H", 1),
                            (0x238, "<I", 2047), (0x258, "<Q", 0x100000), (0x260, "<I", 0x100000)):
        struct.pack_into(form, linux, at, value)
    files = {"elf64": elf64(0x100000, 0x100000, code), "pvh": elf64(0x100000, 0x100000, code, pvh),
             "elf32": elf32(3, 0x100000, 0x100000, code),
             "multiboot": elf32(3, 0x100000, 0x100000, code, one),
             "multiboot_kludge": one_kludge + code,
             "multiboot2": elf32(3, 0x100000, 0x100000, code, bytes(-84 % 8) + two),
             "bzimage": bytes(linux)}
    protocol = {"elf64": 1, "elf32": 3, "pvh": 2, "multiboot": 3, "multiboot_kludge": 3,
                "multiboot2": 5, "bzimage": 4}
    for name, data in files.items():
        keep("fuzz_boot", name, bytes([protocol[name], 1]) + data)
        keep("fuzz_boot", name + "_auto", bytes([0, 1]) + data)
    keep("fuzz_boot", "changed", bytes([0, 0, 0, 24, 16, 0, 52, 1]))


LINES = """print/x $rip
print *(int*)0x100000@4
print sizeof(struct console) + 'a' << 2
print $a = 5, $a ? &guest_main : -1
print (char)65 == "text"[0] && !0 || ~1
print -0x7fffffff / 3 % 0
x/4i $rip
x/8xb &guest_main
x/2s 0x100000
info registers
info line guest_main
info symbol 0x100100
info breakpoints
info checkpoints
info scope guest_main
break guest_main if $rax == 1
tbreak *0x100010
watch *(long*)0x100000
rwatch $rsp
catch exception 14
catch io 0x3f8
commands 1
delete 1
seek 50%
seek end
seek start
stepi 3
reverse-stepi
step
next
finish
reverse-finish
until
continue
reverse-continue
when
find 0x100000, +64, 0x90
dump memory file 0x100000 0x100010
display/i $pc
undisplay 1
ptype guest_main
whatis $rsp
list guest_main
bt
up
down
frame 1
set $x = 3
events
console
set listsize 3
last write 0x100000
first exec guest_main
thread 1
define foo
end
source /etc/passwd
save file
help
""".splitlines()


def packet(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"$" + data + b"#%02x" % (sum(data) & 255)


PACKETS = ["qSupported:multiprocess+;swbreak+;ReverseStep+", "QStartNoAckMode", "?", "g", "p10",
           "m100000,10", "Z0,100000,1", "z0,100000,1", "Z2,200000,8", "s", "bs", "bc", "c",
           "vCont?", "vCont;s:1", "qXfer:features:read:target.xml:0,100",
           "qXfer:features:read:64bit-core.xml:10,fff", "qfThreadInfo", "qsThreadInfo", "qC",
           "qThreadExtraInfo,1", "qAttached", "Hg1", "T1", "X100000,1:}]", "G00", "P10=00",
           "qRcmd,696e666f20726567", "D", "k", "vKill;1"]


def debugger():
    for i, line in enumerate(LINES):
        keep("fuzz_debugger", "line_%02d" % i, b"\0" + line.encode())
    # Chunks of a packet each, of which the first byte says the length; every third is a command.
    for i in range(0, len(PACKETS), 3):
        data = b"\1"
        for j, text in enumerate([*PACKETS[i:i + 2], LINES[i % len(LINES)]]):
            chunk = text.encode()[:39]
            data += bytes([len(chunk)]) + chunk
        keep("fuzz_debugger", "session_%02d" % (i // 3), data)
    for i, text in enumerate(PACKETS):
        keep("fuzz_gdb", "request_%02d" % i, text.encode())
    keep("fuzz_gdb", "stream", b"+" + b"+".join(packet(t) for t in PACKETS) + b"\x03-")
    keep("fuzz_gdb", "escapes", packet(b"X0,3:}\x03}\x04}]") + b"$bad#00")


def native(guest):
    listing = subprocess.run(["objdump", "-h", guest], check=True, capture_output=True,
                             text=True).stdout
    text = next(line.split() for line in listing.splitlines() if " .text " in line)
    size, offset = int(text[2], 16), int(text[5], 16)
    with open(guest, "rb") as file:
        code = file.read()[offset:offset + size]
    budgets = bytes([200, 77, 255, 31, 9, 255])
    registers = b"\x40\x02" + b"".join(
        (b"\x02" + struct.pack("<H", 256 * i)) if i % 2 else bytes([4 * i]) for i in range(16))
    head = budgets + registers + bytes(range(0, 256, 16))
    bodies = {"alu": "01c8 29d1 4831f3 c1e003 48d1eb 0fafc1 f7e1 410fb6d0",
              "memory": "4801 06 8b4708 48894f10 ff4620 0fb64703 660f6f06 660fd4c1 660f7f4710",
              "branch": "ffc0 a801 7403 83c102 39c1 7c02 31d2",
              "call": "e804000000 ffc0 eb04 83c105 c3",
              "string": "b908000000 f3a4 b904000000 f348ab",
              "sse": "f20f58c1 660f28d0 f30f5ac8 0f14c1 660fefc9 f20f2ac1 f2480f2dc0",
              "x87": "d9e8 d9eb dec1 dd1f dd07 d9fa ddd8",
              "store_code": "c60425a09f000090",
              "division": "31d2 b907000000 48f7f1",
              "fault": "ffc0 0f0b", "page_fault": "488b042500004000"}
    for name, text in bodies.items():
        keep("fuzz_native", name, head + bytes.fromhex(text.replace(" ", "")))
    for i in range(24):
        at = size * i // 24
        keep("fuzz_native", "guest_%02d" % i, head + code[at:at + 48])


def main():
    debug_information()
    symbol_files()
    kernels()
    debugger()
    native(sys.argv[1])


main()
