"""Types at a Linux guest on a terminal of its own and checks what comes back.

usage: type_at_linux.py CONSOLE HINDSIGHT ARGUMENT...   what the terminal showed goes to CONSOLE
"""
import sys

from terminal import Terminal

terminal = Terminal(sys.argv[2:])
terminal.wait_for(b"init: a shell")
terminal.wait_for(b"# ")
terminal.type("echo sum $((6 * 7))\r")
terminal.wait_for(b"sum 42")
terminal.wait_for(b"# ")
terminal.type("sleep 1; uname -mx\x7f; echo done\r")
terminal.wait_for(b"x86_64")
terminal.wait_for(b"done\r")
terminal.wait_for(b"# ")
terminal.type("sh -c 'echo asleep; exec sleep 1000'\r")
terminal.wait_for(b"asleep\r")
terminal.type("\x03")
terminal.wait_for(b"^C")
terminal.wait_for(b"# ")
terminal.type("poweroff -f\r")
terminal.wait_for(b"reboot: Power down")
status = terminal.finish()
with open(sys.argv[1], "wb") as console:
    console.write(terminal.seen)
sys.exit(status)
