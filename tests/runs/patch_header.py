"""Changes the version or architecture in a trace's file header, or the machine's version in its
settings, and makes the checksums right again.

Usage: patch_header.py IN OUT version|architecture|machine|other-host|other-kvm

Offsets: docs/trace-format.md. other-host: as if recorded on a processor that nobody has; other-kvm: by
KVM, too, where it was recorded on the software CPU.
"""
import ctypes
import struct
import sys

OFFSETS = {"version": 8, "architecture": 10}

xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def digest(content):
    return xxhash.XXH3_64bits(bytes(content), len(content))


def change_header(data, offset):
    value, = struct.unpack_from("<H", data, offset)
    struct.pack_into("<H", data, offset, value + 40)
    struct.pack_into("<Q", data, 56, digest(data[:56]))


def change_setting(data, name, value):
    """The CONFIG chunk's header is at 64, its payload at 128. It may be compressed; a value that
    occurs nowhere before stands in it as it is, and is replaced by another as long."""
    size, = struct.unpack_from("<I", data, 64 + 20)
    payload = data[128:128 + size]
    before = b"\0" + name + b"="
    at = payload.index(before) + len(before)
    payload[at:at + len(value)] = value
    data[128:128 + size] = payload
    seed = digest(data[64:64 + 48])
    struct.pack_into("<Q", data, 64 + 48, xxhash.XXH3_64bits_withSeed(bytes(payload), size, seed))
    struct.pack_into("<Q", data, 64 + 56, digest(data[64:64 + 56]))


data = bytearray(open(sys.argv[1], "rb").read())
if sys.argv[3] == "machine":
    change_setting(data, b"machine", b"9")
elif sys.argv[3] in ("other-host", "other-kvm"):
    change_setting(data, b"host", b"NobodysMaker")
    if sys.argv[3] == "other-kvm":
        change_setting(data, b"x87-functions", b"host")
else:
    change_header(data, OFFSETS[sys.argv[3]])
open(sys.argv[2], "wb").write(data)
