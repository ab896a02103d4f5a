#!/usr/bin/env python3
"""Tells a trace's story from its events: what the guest printed, and where in the run.

usage: hindsight dump --kind pio-out --json TRACE.hst | story.py [PATTERN]...

Prints the lines of the serial console that match a regular expression (all without any), each with
the position at which it began.
"""
import json
import re
import sys

UART = 0x3F8
patterns = [re.compile(pattern) for pattern in sys.argv[1:]]
line, start = bytearray(), None


def end_line():
    text = line.decode("utf-8", "replace").rstrip()
    if text and (not patterns or any(pattern.search(text) for pattern in patterns)):
        print(f"{start:>10}  {text[:110]}")


for record in sys.stdin:
    event = json.loads(record)
    if event.get("address") != UART or event.get("size") != 1:
        continue
    if event["value"] == 10:
        end_line()
        line.clear()
    else:
        if not line:
            start = event["event"]
        line.append(event["value"])
end_line()
