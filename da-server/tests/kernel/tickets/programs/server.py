"""HTTPS servers by OpenSSL, one for each number of session tickets, and one in the clear.

    server.py CERTIFICATE KEY

Prints a line `NUMBER PORT` for each, `plain PORT` for the one in the clear, and `ready`. A request's target
says how long an answer takes and how long it is: `/?delay_ms=5&bytes=20`. Each answer has the monotonic clock
just before its first write in the header `x-noted`.
"""

import socket
import ssl
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit


def read_request(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, body = request.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    missing = length - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
    target = head.split(b" ")[1].decode()
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


def serve(connection, context):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            plan = read_request(connection)
            time.sleep(int(plan["delay_ms"]) / 1000)
            body = b"x" * int(plan["bytes"])
            head = (
                f"HTTP/1.1 200 OK\r\nx-noted: {time.monotonic_ns()}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            connection.sendall(head.encode() + body)


def listen(name, context):
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(name, listener.getsockname()[1], flush=True)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main():
    certificate, key = sys.argv[1:]
    for tickets in range(6):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        context.num_tickets = tickets
        listen(tickets, context)
    listen("plain", None)
    print("ready", flush=True)
    sys.stdin.read()


main()
