//! Headers: how many, how long, and what they may be made of.

use super::{shape, with};

cases! { shape;
    without_host: "no Host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "200|400|403|421";
    two_hosts: "two of Host", with("Host: evil.example\r\n"), "200|400|403|421";
    many: "200 headers", with(&"x: y\r\n".repeat(200)), "431";
    long: "a header of 40 KB", with(&format!("x: {}\r\n", "y".repeat(40_000))), "431";
    space_in_name: "a name with a space", with("x y: z\r\n"), "400";
    space_before_colon: "a name with a space before the colon", with("x : y\r\n"), "400";
    no_colon: "a header without a colon", with("nothing\r\n"), "400";
    no_name: "a header without a name", with(": x\r\n"), "400";
    folded: "a value that goes on in the next line", with("x: y\r\n z\r\n"), "400";
    nul: "a value with a NUL", with("x: a\0b\r\n"), "400";
    carriage_return: "a value with a carriage return", with("x: a\rb: c\r\n"), "400";
    latin: "a value that is not ASCII",
        [&b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx: \xff\xfe\r\n\r\n"[..]]
            .concat(),
        "200";
    line_feeds: "lines that end without a carriage return",
        "GET /health HTTP/1.1\nHost: localhost\nConnection: close\n\n", "200|400";
    blank_lines: "blank lines before the request", [&b"\r\n\r\n"[..], &with("")].concat(), "200";
}
