"""Passes datagrams between two UDP ports in both directions: a link that a test can cut.

usage: relay.py PORT_A PEER_A PORT_B PEER_B   what PEER_A sends to PORT_A leaves PORT_B for PEER_B
"""
import select
import socket
import sys

port_a, peer_a, port_b, peer_b = map(int, sys.argv[1:5])
sides = []
for port, peer in ((port_a, peer_a), (port_b, peer_b)):
    side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    side.bind(("127.0.0.1", port))
    sides.append((side, ("127.0.0.1", peer)))
while True:
    for ready in select.select([side for side, _ in sides], [], [])[0]:
        here = ready is sides[1][0]
        out, peer = sides[not here]
        try:
            out.sendto(ready.recv(2048), peer)
        except ConnectionRefusedError:
            pass
