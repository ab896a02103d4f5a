"""Records the echo guest while typing at it as a person would, over one kind of serial port.

Usage: type_at_echo.py KIND WORK HINDSIGHT RECORD-ARGUMENT...   KIND: stdio, pty, unix or tcp
Checks what the guest answers. What it printed goes to WORK/console.
"""
import os
import pty
import random
import re
import select
import socket
import subprocess
import sys
import time
import tty

LINES = ["hello", "a longer line of text, with 50% of \"signs\" {in it}", "", "x" * 100, "fin"]
PATIENCE = 30  # seconds; a machine under load is slow, a hang is one


class Port:
    def __init__(self, fd):
        self.fd = fd
        self.seen = b""

    def type(self, data):
        """In pieces, so that they arrive at different moments of the guest's run."""
        while data:
            n = random.randint(1, 7)
            os.write(self.fd, data[:n])
            data = data[n:]
            time.sleep(random.random() * 0.004)

    def expect(self, text, start):
        """Reads on until `text` stands in the output at or after `start`; gives its end."""
        end = time.monotonic() + PATIENCE
        while True:
            at = self.seen.find(text, start)
            if at >= 0:
                return at + len(text)
            if time.monotonic() > end:
                sys.exit(f"no {text!r} after byte {start}: {self.seen[start:]!r}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self.fd, 4096)
                except OSError:
                    data = b""
                if not data:
                    sys.exit(f"the port closed: {self.seen!r}")
                self.seen += data


def conversation(port):
    at = port.expect(b"> ", 0)
    for line in LINES:
        port.type(line.encode() + b"!\x7f\r")
        answer = f"you typed {len(line)} characters: {line}\r\n> "
        at = port.expect(answer.encode(), at)
    port.type(b"q\r")
    port.expect(b"bye\r\n", at)


def announced(process, pattern):
    """Where the serial port is: the program says so on standard error."""
    for line in process.stderr:
        found = re.search(pattern, line.decode())
        if found:
            return found.group(1)
    sys.exit("the serial port was not announced")


def connect(kind, target):
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    sock.connect(target)
    return sock.detach()


def main():
    kind, work, *command = sys.argv[1:]
    if kind == "stdio":
        master, slave = pty.openpty()
        process = subprocess.Popen(command + ["--serial", "stdio"], stdin=slave, stdout=slave,
                                   stderr=subprocess.PIPE)
        os.close(slave)
    elif kind == "pty":
        process = subprocess.Popen(command + ["--serial", "pty"], stderr=subprocess.PIPE)
        master = os.open(announced(process, r"pty (/dev/\S+)"), os.O_RDWR | os.O_NOCTTY)
        tty.setraw(master)
    elif kind == "unix":
        path = os.path.join(work, "port")
        process = subprocess.Popen(command + ["--serial", f"unix:{path},server"],
                                   stderr=subprocess.PIPE)
        announced(process, "(unix)")
        master = connect(kind, path)
    else:
        # The guest is the client here; we are the terminal server that it calls.
        listener = socket.create_server(("127.0.0.1", 0))
        process = subprocess.Popen(
            command + ["--serial", f"tcp:127.0.0.1:{listener.getsockname()[1]}"],
            stderr=subprocess.PIPE)
        listener.settimeout(PATIENCE)
        master = listener.accept()[0].detach()
    port = Port(master)
    try:
        conversation(port)
        status = process.wait(PATIENCE)
    finally:
        process.kill()
        messages = process.stderr.read().decode()
        sys.stderr.write(messages)
    if status != 0:
        sys.exit(f"exit status {status}")
    with open(os.path.join(work, "console"), "wb") as file:
        file.write(port.seen)


main()
