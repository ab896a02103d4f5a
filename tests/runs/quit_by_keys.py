"""Runs a command on a terminal of its own, types text that nobody reads, then Ctrl-A x.

Usage: quit_by_keys.py COMMAND...   Exit status: the command's.
"""
import os
import pty
import subprocess
import sys
import time

master, slave = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=slave)
os.close(slave)
os.read(master, 1)  # the guest prints: it runs, and the terminal is raw
for keys in (b"\x03", b"nobody reads this\r", b"\x01x"):
    time.sleep(0.05)
    os.write(master, keys)
end = time.monotonic() + 60
while process.poll() is None:
    if time.monotonic() > end:
        process.kill()
        sys.exit("Ctrl-A x is not seen")
    try:
        os.read(master, 4096)
    except OSError:
        time.sleep(0.05)
sys.exit(process.returncode)
