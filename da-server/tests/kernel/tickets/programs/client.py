"""One exchange on a connection of its own for each line of standard input, by OpenSSL.

A line is `NAME PORT ONE_SEGMENT DELAY_MS ANSWER_BYTES REQUEST_BYTES`. What it prints for it is
`LOCAL_PORT NOTED READ`: the server's clock just before the answer's first write, as its header says, and this
one's when the read that returned the first byte had returned.

With ONE_SEGMENT 1 the client's Finished and the request leave in one write, and ciphertext is read by 64 KiB;
with 0 OpenSSL reads from the socket itself, each record's header and body apart.
"""

import socket
import ssl
import sys
import time


def at_once(context, connection, name, request):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
    tls.write(request)
    connection.sendall(outgoing.read())

    def read():
        while True:
            try:
                return tls.read(65536)
            except ssl.SSLWantReadError:
                ciphertext = connection.recv(65536)
                if not ciphertext:
                    return b""
                incoming.write(ciphertext)

    return read


def apart(context, connection, name, request):
    tls = context.wrap_socket(connection, server_hostname=name)
    tls.sendall(request)
    return lambda: tls.recv(65536)


def exchange(context, line):
    name, port, one_segment, delay_ms, answer_bytes, request_bytes = line.split()
    body = b"x" * int(request_bytes)
    request = (
        f"POST /?delay_ms={delay_ms}&bytes={answer_bytes} HTTP/1.1\r\nhost: {name}\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        local_port = connection.getsockname()[1]
        send = at_once if one_segment == "1" else apart
        read = send(context, connection, name, request)
        answer, read_ns = read(), time.monotonic_ns()
        try:
            while more := read():
                answer += more
        except (ssl.SSLError, ConnectionError):
            pass  # some servers end without a close alert
        head = answer.split(b"\r\n\r\n")[0].decode().lower()
        noted_ns = head.split("x-noted: ")[1].split("\r\n")[0]
        print(local_port, noted_ns, read_ns, flush=True)


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for line in sys.stdin:
        exchange(context, line)


main()
