//! Methods, paths and versions.

use super::{get, shape};

cases! { shape;
    usual: "a usual request", get("GET /health HTTP/1.1"), "200";
    no_version: "a request line without a version", get("GET /health"), "400";
    version_9: "HTTP/9.9", get("GET /health HTTP/9.9"), "400|505";
    version_1_0: "HTTP/1.0", get("GET /health HTTP/1.0"), "200";
    no_method: "a request line without a method", get(" /health HTTP/1.1"), "400";
    no_path: "a request line without a path", get("GET  HTTP/1.1"), "400";
    spaces: "a path with a space in it", get("GET /hea lth HTTP/1.1"), "400";
    lower_case: "a method in lower case", get("get /health HTTP/1.1"), "405";
    unknown_method: "a method that nobody knows", get("BREW /health HTTP/1.1"), "405";
    long_method: "a method of 10 KB", get(&format!("{} / HTTP/1.1", "A".repeat(10_000))), "400|405";
    delete: "DELETE", get("DELETE / HTTP/1.1"), "405";
    trace: "TRACE", get("TRACE /health HTTP/1.1"), "405";
    connect: "CONNECT to another host", get("CONNECT example.com:443 HTTP/1.1"), "400|403|404|405";
    options: "OPTIONS of everything", get("OPTIONS * HTTP/1.1"), "404|405";
    absolute: "a path in its absolute form", get("GET http://localhost/health HTTP/1.1"), "200";
    dots: "a path that climbs", get("GET /../../../etc/passwd HTTP/1.1"), "404";
    encoded_dots: "a path that climbs in disguise",
        get("GET /calls/%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), "404";
    double_slash: "a path that begins with two slashes", get("GET //etc/passwd HTTP/1.1"), "404";
    backslashes: "a path with backslashes", get(r"GET /..\..\etc\passwd HTTP/1.1"), "400|404";
    encoded_nul: "a path with an encoded NUL", get("GET /health%00.html HTTP/1.1"), "404";
    nul: "a path with a NUL", get("GET /health\0 HTTP/1.1"), "400";
    raw_utf8: "a path in raw UTF-8", get("GET /gäste HTTP/1.1"), "400|404";
    long_path: "a path of 8 KB", get(&format!("GET /{} HTTP/1.1", "a".repeat(8_000))), "404";
    too_long_path: "a path of 100 KB", get(&format!("GET /{} HTTP/1.1", "a".repeat(100_000))),
        "414|431";
    long_query: "a query of 30 KB",
        get(&format!("GET /api/calls?{} HTTP/1.1", "a=b&".repeat(7_500))), "400";
    fragment: "a path with a fragment", get("GET /health#top HTTP/1.1"), "200|400";
}
