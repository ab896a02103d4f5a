#!/usr/bin/env bash
# From a panic back to its cause, as a person would go: the real binary on a terminal. The session
# starts where the crash guest panics, finds the corrupted node with print, watches it, and goes
# back to the store of the timer's handler that interrupted take_free_node between its load of the
# list's head and its store (see guests/crash.c). Completion, repetition by an empty line and Ctrl-C
# are tried on the way.
set -euo pipefail
: "${HINDSIGHT:?}" "${GUESTS:?}"
[ -x "$HINDSIGHT" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Surviving 6000 ticks at 1 in 300 has odds of about one in 500 million.
status=0
timeout 300 "$HINDSIGHT" record --engine soft --pace fast --kernel "$GUESTS/crash.elf" \
    --append 'ticks=6000 hz=10000' -o "$work/crash.hst" >"$work/out" 2>&1 </dev/null || status=$?
[ "$status" -eq 85 ] || { echo "FAIL: recording: status $status" >&2; cat "$work/out" >&2; exit 1; }

HOME=$work TERM=dumb timeout 600 python3 - "$HINDSIGHT" "$work/crash.hst" <<'PYTHON'
import os, pty, re, select, sys

class Session:
    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.transcript = ""
        self.read_prompt()

    def read_until(self, pattern):
        text = ""
        while not re.search(pattern, text):
            if not select.select([self.fd], [], [], 300)[0]:
                self.fail("no answer: " + text)
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.fail("it ended: " + text)
            text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode(errors="replace")).replace("\r", "")
        self.transcript += text
        return text

    def read_prompt(self):
        return self.read_until(r"\(hindsight [0-9.]+( end)?\) $")

    def fail(self, why):
        sys.exit("FAIL: %s\n--- the end of the transcript ---\n%s" % (why, self.transcript[-3000:]))

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def processor_time(self):
        """What the session has had so far, in hundredths of a second."""
        with open("/proc/%d/stat" % self.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def compute(self, ticks, end):
        """Waits until it has had so many more, or nothing more is computed at `end`."""
        wanted = self.processor_time() + ticks
        text = ""
        while self.processor_time() < wanted and not re.search(end, text):
            if select.select([self.fd], [], [], 0.01)[0]:
                text += os.read(self.fd, 65536).decode(errors="replace")
        return text

    def do(self, line):
        self.send(line + "\n")
        answer = self.read_prompt()
        return answer.split("\n", 1)[1].rsplit("\n", 1)[0] if answer.count("\n") > 1 else ""

    def want(self, line, pattern):
        answer = self.do(line)
        if not re.search(pattern, answer):
            self.fail("'%s' did not answer '%s' but: %s" % (line, pattern, answer))
        return answer

s = Session(sys.argv[1], "debug", sys.argv[2])
s.want("seek end", r"guest_panic")
panic = s.want("console 1", r"panic: (.*)")
s.want("bt", r"(?s)#0 .*guest_panic.*guest_main.*boot_main.*start_common")

# The node that the panic is about; who wrote to it last?
if "is owned by" in panic:
    node = "nodes[%s]" % re.search(r"node (\d+) is owned", panic)[1]
    s.want("print " + node, r"owner = \w+")
    s.want("watch %s.owner" % node, r"Watchpoint 1: ")
else:
    s.want("print *samples.head", r"next = 0x|next = \(nil|owner = \w+")
    s.want("watch samples.head->owner", r"Watchpoint 1: ")
s.want("reverse-continue", r"(?s)Watchpoint 1: .*Old value = \w+\nNew value = \w+\n.*(list_push|handle_pit)")
s.do("delete")
s.want("seek end", r"guest_panic")

# take_free_node (inlined in guest_main) loads the list's head, writes a byte to the debug console
# and stores the head's successor. An interrupt in between makes the handler take the same node.
code = [(int(address, 16), text) for address, text in
        re.findall(r"(0x[0-9a-f]+) <.*?>:\t(.*)", s.do("disassemble guest_main"))]
store = next(i for i, (_, text) in enumerate(code)
             if re.match(r"movq\s+%r.x, .*<free_list>", text) and code[i - 1][1].startswith("out"))
load = max(i for i in range(store) if re.match(r"movq\s+\S*\(%rip\), %r.*<free_list>", code[i][1]))
window = range(code[load + 1][0], code[store][0] + 1)

s.want("watch free_list.head", r"Watchpoint 2: ")
# An empty line repeats the last command.
s.want("reverse-continue", "Watchpoint 2")
s.want("", "Watchpoint 2")
s.want("seek end", r"guest_panic")
for hit in range(200):
    stop = s.do("reverse-continue")
    if "start of the trace" in stop:
        s.fail("the store was not found")
    trace = s.want("bt", r"(?s)#0 .*guest_main")
    if not re.search(r"handle_pit[^<]*(<kernel_stack[^<]*)*<interrupt or exception taken here>", trace):
        continue
    s.do("frame " + re.search(r"taken here>\n#(\d+)", trace)[1])
    if int(re.search(r"(0x[0-9a-f]+)", s.want("print $pc", r"0x"))[1], 16) in window:
        break
    s.do("frame 0")
else:
    s.fail("no end of writes")
s.do("frame 0")
values = re.findall(r"(?:Old|New) value = .*?(0x[0-9a-f]+)", stop)
if len(values) != 2:
    s.fail("old and new value: " + stop)
after, before = values          # going backward, the new value is the one before the store
s.want("x/i $pc", r"=> .*handle_pit.*mov.*free_list")
s.want("print free_list.head", before)
s.want("print $rdx", str(int(after, 16)))
where = s.do("when")
s.do("bookmark cause")
s.want("stepi", r"list_pop|handle_pit")
s.want("print free_list.head", after)
s.want("seek cause", r"list_pop|handle_pit")
if s.do("when") != where:
    s.fail("the bookmark is another place")

# The interrupted frame has the node in a register already: the bug, seen.
trace = s.do("bt")
s.want("frame " + re.search(r"taken here>\n#(\d+)", trace)[1], r"take_free_node|port_out8")
s.do("delete")

# Completion: of a command, of a symbol.
s.send("fini\t\n")
if "Run till exit" not in s.read_prompt():
    s.fail("'fini' TAB did not finish")
s.send("print free_li\t\n")
if not re.search(r"owner = FREE, name = 0x[0-9a-f]+ (<.*> )?\"free\"", s.read_prompt()):
    s.fail("a symbol was not completed")

# Ctrl-C stops a long run where it is, and the session goes on.
s.want("seek start", r"_start64|start_multiboot|start_pvh")
s.send("continue\n")
so_far = s.compute(10, r"\(hindsight [0-9.]+( end)?\) $")
s.send("\x03")
# On a fast machine the run has ended before, and the key is echoed after the prompt.
answer = so_far + s.read_until(r"\(hindsight [0-9.]+( end)?\) (\^C)?$")
if "Interrupted." not in answer and "The end of the trace" not in answer:
    s.fail("Ctrl-C: " + answer)
s.want("when", r"position \d+")
s.want("contnue", "did you mean continue")
s.send("quit\n")
_, status = os.waitpid(s.pid, 0)
if status:
    s.fail("status %d" % status)
print("debug_crash: ok (%s)" % panic.strip())
PYTHON
