"""Types at the debugger's prompt: a line that Ctrl-C drops, then some that print.

Usage: type_at_debugger.py COMMAND...   Prints what came.
"""
import os
import sys

from terminal import Terminal

terminal = Terminal(sys.argv[1:])
terminal.wait_for(b"(hindsight 0.0) ")
os.write(terminal.fd, b"print 1234567")
terminal.wait_for(b"print 1234567")
os.write(terminal.fd, b"\x03")
terminal.wait_for(b"(hindsight 0.0) ")
for line, answer in (
    (b"print 7 * 6", b"$1 = 42"),
    (b"break handle_pit", b"Breakpoint 1 at"),
    (b"continue", b"Breakpoint 1, "),
    (b"backtrace", b"#1"),
):
    os.write(terminal.fd, line + b"\r")
    terminal.wait_for(answer)
os.write(terminal.fd, b"quit\r")
status = terminal.finish()
sys.stdout.buffer.write(terminal.seen)
sys.exit(status)
