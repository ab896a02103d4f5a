"""Runs a command on a terminal of its own, types text that nobody reads, then Ctrl-A x.

Usage: quit_by_keys.py COMMAND...   Exit status: the command's.
"""
import os
import pty
import select
import subprocess
import sys
import time

master, slave = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave)
os.close(slave)
os.read(master, 1)  # the guest prints: it runs, and the terminal is raw
for keys in (b"\x03", b"nobody reads this\r", b"\x01x"):
    os.write(master, keys)
end = time.monotonic() + 60
while select.select([master], [], [], max(0, end - time.monotonic()))[0]:
    try:
        if not os.read(master, 4096):
            break
    except OSError:  # nobody has the terminal open any more
        break
try:
    sys.exit(process.wait(max(0.1, end - time.monotonic())))
except subprocess.TimeoutExpired:
    process.kill()
    sys.exit("Ctrl-A x is not seen")
