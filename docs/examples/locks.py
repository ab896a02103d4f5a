# Which of a Linux kernel's locks were held for long? Over a whole boot, with the kernel's symbols:
#
#   hindsight debug boot.hst -ex 'add-symbol-file vmlinux' -ex 'set $bound = 2000000' -x locks.py --batch
#
# prints a row for each time that a lock was held for more than $bound ns of virtual time (1 ms where
# it is not set): how long, the lock, who took it, on which vCPU and in which process, and the
# position of the call that took it. `seek` goes there. A second table has the locks that are held where
# the question ended: at the end of the run, or where the limit of calls or Ctrl-C ended it, which is said.
#
# One question asks for the calls of all the functions that take and release locks; a kernel whose
# _raw_spin_unlock is inlined (without CONFIG_PREEMPTION) is refused, since no call tells then when a lock is
# released. Locks that are bits of a word, and those of real-time mutexes, are not looked at.
import re

import hindsight

SUFFIXES = ('', '_irq', '_bh', '_irqsave')
WAYS = ('', '_interruptible', '_killable')

# What takes a lock, and whether its result says that it did.
TAKE = {'_raw_spin_lock' + suffix: None for suffix in SUFFIXES}
TAKE |= {f'_raw_{kind}_lock{suffix}': None for kind in ('read', 'write') for suffix in SUFFIXES}
TAKE |= {'_raw_spin_trylock': '1', '_raw_spin_trylock_bh': '1', 'mutex_trylock': '1', 'mutex_lock_io': None}
TAKE |= {f'_raw_{kind}_trylock': '1' for kind in ('read', 'write')}
TAKE |= {name + way: '0' if way else None for name in ('mutex_lock', 'down_read', 'down_write') for way in WAYS}
TAKE |= {'down_read_trylock': '1', 'down_write_trylock': '1'}

RELEASE = {f'_raw_{kind}_unlock{suffix}' for kind in ('spin', 'read', 'write')
           for suffix in ('', '_irq', '_bh', '_irqrestore')}
RELEASE |= {'mutex_unlock', 'up_read', 'up_write'}


def known(names):
    """Those that this kernel has as functions."""
    return sorted(name for name in names if hindsight.lookup_symbol(name))


def bound():
    try:
        return int(hindsight.parse_and_eval('$bound'))
    except hindsight.error:
        return 1_000_000


def holder(row):
    """A vCPU holds what spins, a process what sleeps."""
    return row['vcpu'] if row['function'].startswith('_raw_') else row['process']


def shown(address):
    symbol = hindsight.symbol_at(address)
    if not symbol or symbol.is_function:
        return hex(address)
    offset = address - symbol.address
    return f'{symbol.name}+{offset}' if offset else symbol.name


class Locks:
    """Which are held, as one call after the other tells."""

    def __init__(self):
        # lock: {holder: [(the call that took it, when it had it), ...]}: who reads may take it again.
        self.held = {}
        self.spans = []  # (how long, the call)
        self.unmatched = 0
        self.taken = 0

    def take(self, row, lock):
        success = TAKE[row['function']]
        if row['duration'] is None or success not in (None, row['result']):
            return
        self.taken += 1
        takes = self.held.setdefault(lock, {}).setdefault(holder(row), [])
        takes.append((row, row['time'] + row['duration']))

    def release(self, row, lock):
        holders = self.held.get(lock, {})
        owner = holder(row)
        # One may release what another took: a run queue's lock is handed on with the CPU.
        if owner not in holders and len(holders) == 1:
            owner = next(iter(holders))
        if owner not in holders:
            self.unmatched += 1
            return
        taken, since = holders[owner].pop()
        if not holders[owner]:
            del holders[owner]
        self.spans.append((max(row['time'] - since, 0), lock, taken))

    def still_held(self, now):
        """How long by now, the lock and the call that took it, the longest first."""
        return sorted(((now - since, lock, row) for lock, holders in self.held.items()
                       for takes in holders.values() for row, since in takes), key=lambda span: -span[0])

    def count(self, rows):
        for row in rows:
            lock = int(re.search('0x[0-9a-f]+', row['arguments'])[0], 16)
            if row['function'] in TAKE:
                self.take(row, lock)
            else:
                self.release(row, lock)


HEAD = f'{"held, ns":>12}  {"lock":32} {"taken by":36} {"vCPU":4} {"process":20} position'


def show(spans):
    print(HEAD)
    for span, lock, row in spans:
        caller = row['caller_symbol'] or hex(row['caller'])
        print(f'{span:12}  {shown(lock):32} {caller:36} {row["vcpu"]:4} {row["process"] or "-":20} {row["position"]}')


def main():
    # Symbols are looked up in what is in memory: the kernel is, half way.
    hindsight.seek(hindsight.Position(hindsight.end().event // 2, 0))
    functions = known(TAKE) + known(RELEASE)
    if '_raw_spin_lock' not in functions or '_raw_spin_unlock' not in functions:
        raise hindsight.error('this kernel has no symbols, or no function that releases a spinlock')
    rows = hindsight.query('calls ' + ' '.join(functions), limit=20_000_000)
    locks = Locks()
    locks.count(rows)
    hindsight.seek(rows.end)
    now = hindsight.time()
    limit = bound()
    long = sorted((span for span in locks.spans if span[0] > limit), key=lambda span: -span[0])
    held = locks.still_held(now)
    show(long)
    print(f'{len(long)} of {locks.taken} times that a lock was taken it was held for more than {limit} ns; '
          f'{len(held)} are held at the end, {locks.unmatched} releases of locks that nobody was seen to take.')
    if rows.ended != 'end':
        why = {'limit': 'the limit of calls was reached', 'interrupted': 'it was interrupted',
               'cut-off': 'the recording was cut off', 'memory': 'there is no memory for more calls'}[rows.ended]
        print(f'The end is {rows.end}: {why} there.')
    if held:
        print(f'Held at {rows.end}:')
        show(held)


main()
