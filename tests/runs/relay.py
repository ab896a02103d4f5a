"""Passes datagrams between two UDP ports in both directions: a link that a test can cut.

usage: relay.py PORT_A PEER_A PORT_B PEER_B [COUNT]
What PEER_A sends to PORT_A leaves PORT_B for PEER_B, and back. With COUNT it says "ready" when the
ports are open, and ends after so many datagrams, or after a minute without any.
"""
import select
import socket
import sys

port_a, peer_a, port_b, peer_b = map(int, sys.argv[1:5])
left = int(sys.argv[5]) if len(sys.argv) > 5 else None
sides = []
for port, peer in ((port_a, peer_a), (port_b, peer_b)):
    side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    side.bind(("127.0.0.1", port))
    sides.append((side, ("127.0.0.1", peer)))
if left is not None:
    print("ready", flush=True)
while left is None or left > 0:
    readable = select.select([side for side, _ in sides], [], [], None if left is None else 60)[0]
    if not readable:
        break
    for ready in readable:
        here = ready is sides[1][0]
        out, peer = sides[not here]
        try:
            out.sendto(ready.recv(2048), peer)
            left = left and left - 1
        except ConnectionRefusedError:
            pass
