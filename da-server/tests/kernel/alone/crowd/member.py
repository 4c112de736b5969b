"""Has many connections open, each after one exchange: `member.py NAME COUNT`.

NAME is the host that is asked for. Prints a line when all are open, and closes them at the end of
the standard input.
"""

import resource
import socket
import sys

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

name, count = sys.argv[1], int(sys.argv[2])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
request = f"GET / HTTP/1.1\r\nhost: {name}\r\n\r\n".encode()
listener = socket.create_server(("127.0.0.1", 0))
ends = []
for _ in range(count):
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    client.sendall(request)
    server.recv(len(request), socket.MSG_WAITALL)
    server.sendall(RESPONSE)
    client.recv(len(RESPONSE), socket.MSG_WAITALL)
    ends.append((client, server))
print("open", flush=True)
sys.stdin.read()
