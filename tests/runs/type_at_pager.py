"""Looks at long output by pages on a terminal of ten rows.

Usage: type_at_pager.py COMMAND...   Prints what came.
"""
import fcntl
import os
import struct
import sys
import termios

from terminal import Terminal

MORE = b"--Type <RET> for more, q to quit, c to continue without paging--"
PROMPT = b"(hindsight 0.0) "
LONG = b"x/60xg 0x1000"  # thirty short lines
terminal = Terminal(sys.argv[1:])
fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 80, 0, 0))
terminal.wait_for(PROMPT)


def say(line):
    os.write(terminal.fd, line + b"\r")


def page():
    """The rows shown since the last prompt for more, or the command."""
    start = terminal.at
    terminal.wait_for(MORE)
    return terminal.seen[start:terminal.at - len(MORE)].count(b"\n")


say(LONG)
first = page()
assert first == 10, first  # the command's own line, and nine
say(b"")
second = page()
assert second == 10, second  # the answer's line, and nine
say(b"q")
terminal.wait_for(b"Quit")
terminal.wait_for(PROMPT)
say(LONG)
page()
say(b"c")
start = terminal.at
terminal.wait_for(PROMPT)
assert MORE not in terminal.seen[start:], "a page after 'c'"
# A row that the terminal breaks counts as two.
say(b"echo " + b"x" * 900)
page()
say(b"")
terminal.wait_for(PROMPT)
for line in (b"set pagination off", b"set height 0"):
    say(line)
    terminal.wait_for(PROMPT)
    start = terminal.at
    say(LONG)
    terminal.wait_for(PROMPT)
    assert MORE not in terminal.seen[start:], line
    say(b"set pagination on")
    terminal.wait_for(PROMPT)
say(b"set height 5")
terminal.wait_for(PROMPT)
say(LONG)
page()
os.write(terminal.fd, b"\x03")
terminal.wait_for(b"Quit")
terminal.wait_for(PROMPT)
say(b"quit")
status = terminal.finish()
sys.stdout.buffer.write(terminal.seen)
sys.exit(status)
