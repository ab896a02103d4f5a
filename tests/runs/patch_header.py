"""Changes the version or architecture in a trace's file header and makes its checksum right again.

Usage: patch_header.py IN OUT version|architecture   (offsets: docs/trace-format.md, file header)
"""
import ctypes
import struct
import sys

OFFSETS = {"version": 8, "architecture": 10}

xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

data = bytearray(open(sys.argv[1], "rb").read())
offset = OFFSETS[sys.argv[3]]
value, = struct.unpack_from("<H", data, offset)
struct.pack_into("<H", data, offset, value + 40)
struct.pack_into("<Q", data, 56, xxhash.XXH3_64bits(bytes(data[:56]), 56))
open(sys.argv[2], "wb").write(data)
