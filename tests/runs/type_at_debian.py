"""Logs in to a Debian guest, works a little, and shuts it down.

usage: type_at_debian.py CONSOLE HINDSIGHT ARGUMENT...   what the terminal showed goes to CONSOLE
"""
import sys

from terminal import Terminal

terminal = Terminal(sys.argv[2:])
terminal.wait_for(b"hindsight login: ")
terminal.type("root\r")
terminal.wait_for(b"root@hindsight:~# ")
terminal.type("dpkg -l | grep -c ^ii; echo $((6 * 7)) packages counted\r")
terminal.wait_for(b"42 packages counted")
terminal.wait_for(b"root@hindsight:~# ")
terminal.type("poweroff\r")
terminal.wait_for(b"reboot: Power down")
status = terminal.finish()
with open(sys.argv[1], "wb") as console:
    console.write(terminal.seen)
sys.exit(status)
