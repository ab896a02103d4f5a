#!/usr/bin/env python3
"""A wire between two UDP ports that breaks: passes datagrams on in both directions, COUNT of them,
then ends. udp_relay.py PORT_A PEER_A PORT_B PEER_B COUNT: what comes from PEER_A to PORT_A leaves
PORT_B for PEER_B, and back. Ends after a minute without any."""
import select
import socket
import sys

port_a, peer_a, port_b, peer_b, count = map(int, sys.argv[1:])


def open_end(port, peer):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    end.bind(("127.0.0.1", port))
    end.connect(("127.0.0.1", peer))
    return end


a, b = open_end(port_a, peer_a), open_end(port_b, peer_b)
print("ready", flush=True)
while count > 0:
    readable = select.select([a, b], [], [], 60)[0]
    if not readable:
        break
    for end in readable:
        try:
            datagram = end.recv(4096)
            (b if end is a else a).send(datagram)
            count -= 1
        except ConnectionRefusedError:
            pass
