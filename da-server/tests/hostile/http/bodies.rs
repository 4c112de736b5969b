//! Bodies that are not as long as their headers say, and requests hidden in them: of two requests there
//! are two answers, or the connection is closed after the first.

use super::{post, shape};

/// What is hidden: whoever answers it has been told of another path.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nX: ";

cases! { shape;
    usual: "a body where none is taken", post("Content-Length: 5\r\n", "hello"), "405 200";
    two_lengths: "two lengths that differ",
        post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "400";
    one_length_twice: "one length that comes twice",
        post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "400|405 200";
    length_plus: "a length with a sign", post("Content-Length: +5\r\n", "hello"), "400";
    length_negative: "a length below 0", post("Content-Length: -5\r\n", "hello"), "400";
    length_hexadecimal: "a length in another base", post("Content-Length: 0x5\r\n", "hello"), "400";
    length_overflows: "a length beyond 64 bits",
        post("Content-Length: 18446744073709551621\r\n", "hello"), "400";
    length_of_a_gigabyte: "a length of 1 GB", post("Content-Length: 1073741824\r\n", "hello"),
        "413|405";
    length_and_chunks: "a length and chunks",
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
        "400|405|405 404";
    unknown_coding: "a transfer coding that nobody knows",
        post("Transfer-Encoding: xchunked\r\n", ""), "400";
    chunked_not_last: "chunks that are coded once more",
        post("Transfer-Encoding: chunked, identity\r\n", ""), "400";
    coding_with_a_tab: "a transfer coding behind a tab",
        post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"), "405 200";
    coding_with_a_space: "a transfer coding whose name has a space",
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400";
    coding_of_1_0: "chunks in HTTP/1.0",
        "POST /health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400";
    chunk_size_is_no_number: "a chunk whose size is no number",
        post("Transfer-Encoding: chunked\r\n", "zz\r\n"), "405|405 400|400";
    chunk_size_overflows: "a chunk whose size has 80 bits",
        post("Transfer-Encoding: chunked\r\n", "fffffffffffffffffff0\r\n"), "405|405 400|400";
    chunk_is_longer: "a chunk that is longer than its size",
        post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n"), "405|405 400|400";
    long_extension: "a chunk with an extension of 100 KB",
        post("Transfer-Encoding: chunked\r\n", &format!("0;{}\r\n\r\n", "x".repeat(100_000))),
        "405|405 400|400";
    long_trailer: "chunks with a trailer of 600 KB",
        post("Transfer-Encoding: chunked\r\n", &format!("0\r\nx: {}\r\n\r\n", "x".repeat(600_000))),
        "405|405 400|400|405 431";
    too_large: "a body of 100 KB", post("Content-Length: 100000\r\n", &"x".repeat(100_000)),
        "413|405|405 200|413 200";
    continues: "a body that waits to be asked for",
        post("Content-Length: 0\r\nExpect: 100-continue\r\n", ""), "405 200|405";
}
