"""Types at a recorded guest on a terminal: each text when what it is to follow has shown.

Usage: type_after.py HINDSIGHT RECORD-ARGUMENT... -- SHOWN TYPED [SHOWN TYPED]...
SHOWN is looked for after what was found before. The recorder's exit status is passed on.
"""
import os
import pty
import select
import subprocess
import sys
import time
import tty

PATIENCE = 60  # seconds; a machine under load is slow, a hang is one


def main():
    at = sys.argv.index("--")
    steps = [text.encode().decode("unicode_escape").encode() for text in sys.argv[at + 1 :]]
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    recorder = subprocess.Popen(sys.argv[1:at], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    seen, start, end = b"", 0, time.monotonic() + PATIENCE
    for shown, typed in zip(steps[::2], steps[1::2]):
        while (found := seen.find(shown, start)) < 0:
            if time.monotonic() > end:
                recorder.kill()
                sys.exit(f"no {shown!r} after byte {start}: {seen[start:]!r}")
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 4096)
        start = found + len(shown)
        if typed:
            os.write(ours, typed)
    sys.exit(recorder.wait())


main()
