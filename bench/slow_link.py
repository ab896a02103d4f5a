"""A wire of limited speed between two UDP ports, each way apart.

usage: slow_link.py PORT_A PEER_A PORT_B PEER_B BYTES_A_SECOND
What PEER_A sends to PORT_A leaves PORT_B for PEER_B no faster than that, and back. Up to a tenth of a
second of it is queued; what comes then is lost.
"""
import collections
import select
import socket
import sys
import time

QUEUE_SECONDS = 0.1
port_a, peer_a, port_b, peer_b, rate = map(int, sys.argv[1:6])
ends = []
for port, peer in ((port_a, peer_a), (port_b, peer_b)):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    end.bind(("127.0.0.1", port))
    ends.append((end, ("127.0.0.1", peer)))
queues = [collections.deque(), collections.deque()]  # (when it is through, datagram), to end 0 and 1
idle_at = [0.0, 0.0]

while True:
    now = time.monotonic()
    for to in range(2):
        while queues[to] and queues[to][0][0] <= now:
            end, peer = ends[to]
            try:
                end.sendto(queues[to].popleft()[1], peer)
            except ConnectionRefusedError:
                pass
    due = [queue[0][0] for queue in queues if queue]
    timeout = max(0.0, min(due) - now) if due else None
    for ready in select.select([end for end, _ in ends], [], [], timeout)[0]:
        to = 1 if ready is ends[0][0] else 0
        try:
            datagram = ready.recv(4096)
        except ConnectionRefusedError:
            continue
        now = time.monotonic()
        start = max(now, idle_at[to])
        if start - now <= QUEUE_SECONDS:
            idle_at[to] = start + len(datagram) / rate
            queues[to].append((idle_at[to], datagram))
