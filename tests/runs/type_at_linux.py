"""Types at a Linux guest on a terminal of its own and checks what comes back.

usage: type_at_linux.py CONSOLE HINDSIGHT ARGUMENT...   what the terminal showed goes to CONSOLE
"""
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

    def type(self, text):
        for byte in text.encode():
            os.write(self.fd, bytes([byte]))
            time.sleep(0.01)

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
terminal.type("sleep 1000\r")
time.sleep(0.3)
terminal.type("\x03")
terminal.wait_for(b"^C")
terminal.wait_for(b"# ")
terminal.type("poweroff -f\r")
terminal.wait_for(b"reboot: Power down")
status = terminal.finish()
with open(sys.argv[1], "wb") as console:
    console.write(terminal.seen)
sys.exit(status)
