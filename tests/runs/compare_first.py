"""Compares what two debuggers said to the same commands: hindsight's and gdb.

Usage: compare_first.py OURS GDBS   Both have "== TITLE" lines before each answer. Prints a table;
status 1 where an answer differs.

What may differ: folders of files, addresses before a function's name, what gdb adds from the callers'
call sites ("@entry"), as names of what a character pointer points to or as zeros after a string in an
array, and what the functions below say of where a trace ends and of variables that are nowhere.
"""
import re
import sys


def plain(line):
    line = re.sub(r"(\w+)=\w+@entry=", r"\1=", line)
    line = re.sub(r"(\"|=| )(0x[0-9a-f]+) <[^>]*> \"", r'\1\2 "', line)
    line = re.sub(r" at \S*/", " at ", line)
    line = re.sub(r", '\\000' <repeats \d+ times>", "", line)
    line = re.sub(r"^(#\d+) +(0x[0-9a-f]+ in )?", r"\1 ", line)
    line = re.sub(r"^0x[0-9a-f]+ in ", "", line)
    line = re.sub(r"^Run till exit from .*", "", line)
    line = re.sub(r"^(Thread \S+ .* hit )?(Temporary b|B)reakpoint \d+, (0x[0-9a-f]+ in )?", "Breakpoint ", line)
    line = re.sub(r"^\$\d+ = ", "$ = ", line)
    line = re.sub(r"^Value returned is \$\d+ = ", "Value returned is ", line)
    return line.rstrip()


KEPT = {
    "break": r"^Breakpoint ",
    "bt": r"^#\d+ ",
    "info locals": r"^\w+ = |^No locals",
    "p *ptr": r"^\$ = ",
    "finish": r"^Value returned|^\w+ \(.*\) at |^Run till",
    "watch": r"^Old value|^New value",
    "rc": r"^Old value|^New value",
}


def answers(path):
    said, title = {}, None
    for line in open(path, errors="replace"):
        found = re.match(r"== (.*)", line)
        if found:
            title = found.group(1)
            said.setdefault(title, [])
        elif title:
            kind = title.split(": ")[1]
            line = plain(line)
            if re.search(KEPT[kind], line):
                said[title].append(line)
    return said


def same_arguments(ours, gdbs):
    """A frame's line: an argument that only the caller's call site tells is as good as none."""
    pattern = re.compile(r"(\w+)=((?:<[^>]*>|\"(?:[^\"\\]|\\.)*\"|[^,\"<)]|<)*)")
    if re.sub(pattern, r"\1", ours) != re.sub(pattern, r"\1", gdbs):
        return False
    pairs = zip(pattern.findall(ours), pattern.findall(gdbs))
    return all(a == b or "<optimized out>" in a[1] for a, b in pairs)


def frames(lines):
    """Without what called a program's main, which gdb shows where it was not told of the program as
    such, and up to the kernel's entry: hindsight goes on into the program, gdb into nowhere."""
    kept, beyond = [], False
    for line in lines:
        beyond = beyond and not line.startswith("#0 ")
        if not beyond and not re.match(r"#\d+ (__libc_start|_start)", line):
            kept.append(line)
        beyond = beyond or "entry_SYSCALL_64 " in line
    return kept


def same(kind, ours, gdbs):
    if kind == "bt":
        ours, gdbs = frames(ours), frames(gdbs)
    if kind == "info locals":
        # gdb also lists those of blocks that have no code left.
        names = [line.split(" ")[0] for line in ours]
        gdbs = [line for line in gdbs if line.split(" ")[0] in names or "<optimized out>" not in line]
    return gdbs and len(ours) == len(gdbs) and all(a == b or same_arguments(a, b) for a, b in zip(ours, gdbs))


ours, gdbs = answers(sys.argv[1]), answers(sys.argv[2])
different = 0
for title in ours:
    kind = title.split(": ")[1]
    good = same(kind, ours[title], gdbs.get(title, []))
    print("%-24s %s" % (title, "as in gdb" if good else "DIFFERS"))
    if not good:
        different += 1
        print("  ours:", *ours[title], sep="\n    ")
        print("  gdb:", *gdbs.get(title, []), sep="\n    ")
sys.exit(1 if different or not ours else 0)
