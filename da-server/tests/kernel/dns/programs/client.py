"""Looks a host up, connects, asks for a path, and reads all there is if it was told one; prints how long it took until it
was connected, ns."""

import socket
import sys
import time

host, port, *path = sys.argv[1:]
began = time.monotonic_ns()
connection = socket.create_connection((host, int(port)))
took = time.monotonic_ns() - began
target = path[0] if path else "/"
connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
while connection.recv(65536) and path:
    pass
print(took)
