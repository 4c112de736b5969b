"""Looks a host up, connects, asks; prints how long it took until it was connected, ns."""

import socket
import sys
import time

host, port = sys.argv[1], int(sys.argv[2])
began = time.monotonic_ns()
connection = socket.create_connection((host, port))
took = time.monotonic_ns() - began
connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
assert connection.recv(4096).startswith(b"HTTP/1.1 200")
print(took)
