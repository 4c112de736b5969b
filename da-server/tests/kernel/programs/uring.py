"""Sends that io_uring makes as another system call of the thread returns: that call writes to a file.

    uring.py PORT SENT WRITTEN

Connects to the port, and has the ring send SENT a moment later; until then WRITTEN, and much more, is written to
a file in memory over and over.
"""

import ctypes
import mmap
import os
import socket
import struct
import sys
import time

SETUP, ENTER = 425, 426
OP_TIMEOUT, OP_SEND = 11, 26
LINK = 1 << 2
ETIME_IS_SUCCESS = 1 << 5
OFFSET_OF_ENTRIES = 0x10000000
ENTRY_BYTES = 64

call = ctypes.CDLL(None, use_errno=True).syscall


def address_of(buffer):
    return ctypes.addressof(buffer)


def main():
    port, sent, written = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3].encode()
    params = ctypes.create_string_buffer(120)
    ring = call(SETUP, 4, params)
    if ring < 0:
        sys.exit("no io_uring: " + os.strerror(ctypes.get_errno()))
    # struct io_sqring_offsets, behind ten words of struct io_uring_params.
    _head, tail, _mask, _entries, _flags, _dropped, array = struct.unpack_from("7I", params, 40)
    queue = mmap.mmap(ring, array + 4 * 4)
    entries = mmap.mmap(ring, 4 * ENTRY_BYTES, offset=OFFSET_OF_ENTRIES)
    connection = socket.create_connection(("127.0.0.1", port))
    moment = ctypes.create_string_buffer(struct.pack("qq", 0, 20_000_000))
    message = ctypes.create_string_buffer(sent, len(sent))
    # struct io_uring_sqe: opcode, flags, ioprio, fd, off, addr, len, what the opcode has of flags.
    timeout = struct.pack("BBHiQQII", OP_TIMEOUT, LINK, 0, -1, 0, address_of(moment), 1, ETIME_IS_SUCCESS)
    send = struct.pack("BBHiQQII", OP_SEND, 0, 0, connection.fileno(), 0, address_of(message), len(sent), 0)
    entries[: len(timeout)] = timeout
    entries[ENTRY_BYTES : ENTRY_BYTES + len(send)] = send
    struct.pack_into("2I", queue, array, 0, 1)
    struct.pack_into("I", queue, tail, 2)
    file = os.memfd_create("written")
    much = written + bytes(8 << 20)
    if call(ENTER, ring, 2, 0, 0, None, 0) != 2:
        sys.exit("not submitted: " + os.strerror(ctypes.get_errno()))
    connection.setblocking(False)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, much)
        try:
            if connection.recv(4096):
                return
        except BlockingIOError:
            pass
    sys.exit("no answer")


main()
