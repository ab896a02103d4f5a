"""A program on a terminal of its own, typed at and listened to by a test."""
import os
import pty
import select
import sys
import time

LIMIT = 240  # seconds without any progress


class Terminal:
    def __init__(self, command):
        self.seen = b""
        self.at = 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)

    def wait_for(self, text):
        last = time.monotonic()
        while True:
            found = self.seen.find(text, self.at)
            if found >= 0:
                self.at = found + len(text)
                return
            if time.monotonic() - last > LIMIT:
                sys.exit(f"nothing more comes while waiting for {text!r}:\n{self.seen[-500:]!r}")
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    got = os.read(self.fd, 65536)
                except OSError:
                    got = b""
                if not got:
                    sys.exit(f"the guest ended while waiting for {text!r}:\n{self.seen[-500:]!r}")
                self.seen += got
                last = time.monotonic()

    def read(self, seconds):
        """What comes within so long; nothing when nothing comes, or at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self.fd, 65536)
        except OSError:
            return b""

    def type(self, text):
        """As a person does: each key when the one before has been answered."""
        for byte in text.encode():
            os.write(self.fd, bytes([byte]))
            self.seen += self.read(LIMIT)

    def finish(self):
        while True:
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                break
            if not got:
                break
            self.seen += got
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
