#!/usr/bin/env python3
"""Which lines of debugger/ the tests executed, in a build of the preset `coverage`.

usage: tests/coverage.py BUILD [--floor PERCENT] [--missing | --reset]

Run tests of BUILD first; what they execute adds up until --reset. With --floor the status is 1
below PERCENT. --missing names the lines that were never executed.
"""
import argparse
import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile


def object_files(build, extension):
    folder = os.path.join(os.path.abspath(build), "CMakeFiles/hindsight_debugger.dir/debugger")
    return glob.glob(os.path.join(folder, f"**/*.{extension}"), recursive=True)


def executed(build, top):
    """{file: {line: was it executed}} of the files under debugger/."""
    notes = object_files(build, "gcno")
    if not notes:
        sys.exit(f"coverage: {build} is no coverage build")
    files = {}
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["gcov", "--json-format", "--hash-filenames", *notes], cwd=scratch, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in glob.glob(os.path.join(scratch, "*.gcov.json.gz")):
            with gzip.open(name) as report:
                for file in json.load(report)["files"]:
                    path = os.path.relpath(os.path.join(top, file["file"]), top)
                    if not path.startswith("debugger/"):
                        continue
                    lines = files.setdefault(path, {})
                    for line in file["lines"]:
                        number = line["line_number"]
                        lines[number] = lines.get(number, False) or line["count"] > 0
    return files


def ranges(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    found = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def reset(build):
    for name in object_files(build, "gcda"):
        os.remove(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--floor", type=float)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--reset", action="store_true", help="forget what was executed so far")
    options = parser.parse_args()
    if options.reset:
        reset(options.build)
        return
    files = executed(options.build, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for path, lines in sorted(files.items()):
        good = sum(lines.values())
        print(f"{100 * good / max(1, len(lines)):6.1f} %  {good:5} of {len(lines):5}  {path}")
        if options.missing:
            print("          " + ranges(sorted(n for n, done in lines.items() if not done)))
    total = sum(len(lines) for lines in files.values())
    good = sum(sum(lines.values()) for lines in files.values())
    percent = 100 * good / max(1, total)
    print(f"{percent:6.1f} %  {good:5} of {total:5}  debugger/")
    if options.floor is not None and percent < options.floor:
        sys.exit(f"coverage: {percent:.1f} % of the lines of debugger/ are executed by these tests, "
                 f"fewer than {options.floor:g} %")


main()
