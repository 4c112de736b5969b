"""A server that asks for client certificates, and a client by OpenSSL that has one.

    mutual_tls.py serve CERTIFICATE KEY
    mutual_tls.py ask CERTIFICATE KEY NAME PORT REQUESTS

The server prints the port that it listens at, and answers every request. The client reads the session tickets
before it sends its first request, and ends once all are answered.
"""

import socket
import ssl
import sys
import threading
import time

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def context_of(side, certificate, key):
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def answer(context, connection):
    with context.wrap_socket(connection, server_side=True) as tls:
        request = b""
        while chunk := tls.recv(4096):
            request += chunk
            while b"\r\n\r\n" in request:
                request = request.partition(b"\r\n\r\n")[2]
                tls.sendall(RESPONSE)


def serve(context):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(context, connection), daemon=True).start()


def ask(context, name, port, requests):
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_hostname=name) as tls:
            tls.settimeout(0)
            deadline = time.monotonic() + 0.2
            while time.monotonic() < deadline:
                try:
                    tls.recv(1)
                except ssl.SSLWantReadError:
                    time.sleep(0.01)
            tls.settimeout(None)
            for _ in range(int(requests)):
                tls.sendall(f"GET / HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
                received = b""
                while len(received) < len(RESPONSE):
                    received += tls.recv(4096)


role, certificate, key, *rest = sys.argv[1:]
if role == "serve":
    serve(context_of(ssl.PROTOCOL_TLS_SERVER, certificate, key))
else:
    ask(context_of(ssl.PROTOCOL_TLS_CLIENT, certificate, key), *rest)
