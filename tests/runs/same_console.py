"""Whether a replay printed what the terminal showed while the run was recorded.

usage: same_console.py REPLAYED TERMINAL
"""
import sys

replayed, recorded = (open(name, "rb").read() for name in sys.argv[1:])
replayed = replayed[: replayed.rindex(b"identical:")].replace(b"\r", b"")
# The terminal has hindsight's own first and last line as well.
recorded = recorded.replace(b"\r", b"")
first, recorded = recorded.split(b"\n", 1)
assert b"started by --boot linux" in first, first
recorded = recorded[: recorded.rindex(b"hindsight:")]
sys.exit(replayed != recorded)
