"""Checks 'hindsight dump --kind disk' of an array against placement computed here.

raid_dump.py LEVEL MEMBERS CHUNK_SECTORS < dump

Every write to a member is checked for stripe and parity member, and every data write for belonging
to the request it stands under. While no member is out, the request's sectors must all be written.
"""
import re
import sys

level, members, chunk = map(int, sys.argv[1:4])


def parity_of(stripe):
    # The parity starts on the last member and moves one to the left with each stripe.
    return (members - 1 - stripe) % members if level == 5 else None


def places(sector):
    """Where a sector of the volume must be: (member, member LBA) pairs."""
    number, offset = divmod(sector, chunk)
    if level == 1:
        return [(member, sector) for member in range(members)]
    if level == 0:
        return [(number % members, number // members * chunk + offset)]
    stripe, index = divmod(number, members - 1)
    row = [member for member in range(members) if member != parity_of(stripe)]
    # Data starts after the parity and wraps around.
    row = [m for m in row if m > parity_of(stripe)] + [m for m in row if m < parity_of(stripe)]
    return [(row[index], stripe * chunk + offset)]


request = re.compile(r"disk0 (read|write|zero|discard|flush)(?: sector (\d+)\+(\d+))? t=")
access = re.compile(r"  disk0 member(\d+) (read|write|zero) (data|parity) lba (\d+)\+(\d+)"
                    r"(?: stripe (\d+))?(?: parity on member(\d+))?(.*)")
expected, written, kind, lost = set(), set(), None, False
checked = whole = 0


def finish():
    global whole
    if kind == "write" and not lost:
        assert written == expected, f"request wrote {sorted(written ^ expected)[:5]} wrongly"
        whole += 1


for line in sys.stdin:
    found = request.search(line)
    if found:
        finish()
        kind, start, count = found.groups()
        written = set()
        expected = {place for sector in range(int(start or 0), int(start or 0) + int(count or 0))
                    for place in places(sector)}
        continue
    if re.search(r"disk0 member\d+ failed|FAILED", line):
        lost = True
    if re.search(r"disk0 member\d+ rebuilt", line):
        finish()
        lost, kind = False, None
    found = access.search(line)
    if not found or found[2] == "read":
        continue
    member, role, lba, count = int(found[1]), found[3], int(found[4]), int(found[5])
    stripe = lba // chunk
    if level == 5:
        assert found[6] and int(found[6]) == stripe, line
        assert found[7] and int(found[7]) == parity_of(stripe), line
        # With a member out, the parity's place may have that one's data.
        assert role == "data" if member != parity_of(stripe) else role == "parity" or lost, line
        assert (lba + count - 1) // chunk == stripe, line
    else:
        assert role == "data" and not found[7], line
    checked += 1
    # A rebuild writes the member it fills outside any request.
    if kind == "write" and role == "data" and not lost:
        sectors = {(member, lba + i) for i in range(count)}
        assert sectors <= expected, line
        written |= sectors
finish()
assert checked > 100 and whole > 20, (checked, whole)
print(f"{checked} member writes, {whole} whole requests")
