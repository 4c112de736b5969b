//! What of the head of an HTTP/1 request tells whose connection it is on.
//!
//! That is the method, what of the target names a host, the version, and the headers `Host` and `Upgrade`.
//! Everything else may be a secret, and so may all of a send that is no such request: it is left out.

/// Whether a send in the clear may begin with an HTTP/2 frame, RFC 9113 §4.1: below 64 KiB, of a known type, the
/// reserved bit unset. Text does not begin with a zero byte.
#[inline(always)]
pub fn is_http2_frame(first: &[u8; 9]) -> bool {
    const CONTINUATION: u8 = 9;
    first[0] == 0 && first[3] <= CONTINUATION && first[5] < 0x80
}

/// Reads a head byte by byte. All of it lies in memory, not in registers: there the verifier forgets how it
/// came about, where it would follow every way through the bytes to the end.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Head {
    /// A [`Part`].
    part: u32,
    /// Bytes of it so far.
    column: u32,
    /// Bytes that stay.
    kept_bytes: u32,
    /// How many stayed before the current line, or before the host in the target.
    mark_bytes: u32,
    /// How many stay for certain: whole lines of what is a request for certain.
    told_bytes: u32,
    /// Whether the target has come to what names a host, be it behind a user's name and password.
    in_authority: u32,
    /// The last bytes of the current part, letters in lower case.
    last: u64,
}

/// What a byte belongs to.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Part {
    Method,
    /// As far as a host may be named in it.
    Target,
    /// The rest of the target.
    Path,
    Version,
    /// A line behind the first one.
    Name,
    /// Of a header that stays.
    Value,
    /// The rest of another line.
    Rest,
    /// What comes behind the head, or is none.
    Over,
}

/// The longest in IANA's registry of methods.
const MAX_METHOD_BYTES: u32 = 17;
/// `HTTP/1.1`, and with a carriage return.
const VERSION_BYTES: core::ops::RangeInclusive<u32> = 8..=9;
const HTTP: u64 = text(b"\0\0\0http/");
const HOST: u64 = text(b"\0\0\0\0host");
const CONNECT: u64 = text(b"\0connect");
const UPGRADE: u64 = text(b"\0upgrade");
const HTTP_COLON: u64 = text(b"\0\0\0http:");
const HTTPS_COLON: u64 = text(b"\0\0https:");
const HTTP_COLON_SLASH: u64 = text(b"\0\0http:/");
const HTTPS_COLON_SLASH: u64 = text(b"\0https:/");

const fn text(bytes: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*bytes)
}

impl Head {
    /// Nothing is read.
    pub const START: Self = Self {
        part: Part::Method as u32,
        column: 0,
        kept_bytes: 0,
        mark_bytes: 0,
        told_bytes: 0,
        in_authority: 0,
        last: 0,
    };

    /// Bytes that stay of what has been read.
    #[inline(always)]
    pub fn told_bytes(&self) -> u32 {
        self.told_bytes
    }

    /// Whether nothing that follows stays.
    #[inline(always)]
    pub fn is_over(&self) -> bool {
        self.part == Part::Over as u32
    }

    /// Reads the next byte; where it goes, if it stays: never behind where it comes from.
    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> Option<u32> {
        let (column, before) = (self.column, self.last);
        self.column = column + 1;
        self.last = before << 8 | u64::from(byte.to_ascii_lowercase());
        let part = self.part;
        let stays = if part == Part::Method as u32 {
            self.method(byte, column, before)
        } else if part == Part::Target as u32 {
            self.target(byte, column, before)
        } else if part == Part::Path as u32 {
            self.rest_of_target(byte)
        } else if part == Part::Version as u32 {
            self.version(byte, column)
        } else if part == Part::Name as u32 {
            self.name(byte, column, before)
        } else if part == Part::Value as u32 {
            self.value(byte)
        } else if part == Part::Rest as u32 {
            if byte == b'\n' {
                self.begin(Part::Name);
            }
            false
        } else {
            false
        };
        let at = self.kept_bytes;
        self.kept_bytes = at + u32::from(stays);
        stays.then_some(at)
    }

    #[inline(always)]
    fn begin(&mut self, part: Part) {
        (self.part, self.column, self.last) = (part as u32, 0, 0);
    }

    /// The line ends with this byte, which stays, and all of it with it.
    #[inline(always)]
    fn tell(&mut self, next: Part) {
        self.mark_bytes = self.kept_bytes + 1;
        self.told_bytes = self.mark_bytes;
        self.begin(next);
    }

    #[inline(always)]
    fn method(&mut self, byte: u8, column: u32, before: u64) -> bool {
        if byte == b' ' && column > 0 {
            self.mark_bytes = self.kept_bytes + 1;
            // Only it has a target that is nothing but an authority: RFC 9112 §3.2.3.
            self.in_authority = u32::from(before == CONNECT);
            self.begin(Part::Target);
        } else if !(byte.is_ascii_uppercase() || byte == b'-') || column >= MAX_METHOD_BYTES {
            self.begin(Part::Over);
            return false;
        }
        true
    }

    /// `/path`, `*`, or a URL; behind CONNECT `host:port`.
    #[inline(always)]
    fn target(&mut self, byte: u8, column: u32, before: u64) -> bool {
        if self.in_authority != 0 {
            return self.authority(byte);
        }
        let is_path = column == 0 && (byte == b'/' || byte == b'*');
        let is_second = byte == b'/' && (before == HTTP_COLON_SLASH || before == HTTPS_COLON_SLASH);
        let is_first = byte == b'/' && (before == HTTP_COLON || before == HTTPS_COLON);
        if is_path {
            self.begin(Part::Path);
        } else if is_second {
            self.mark_bytes = self.kept_bytes + 1;
            self.in_authority = 1;
        } else if !(is_first || byte.is_ascii_alphabetic() || byte == b':') {
            // It names no host: nobody knows what it is.
            self.begin(Part::Over);
            return false;
        }
        true
    }

    #[inline(always)]
    fn authority(&mut self, byte: u8) -> bool {
        match byte {
            b' ' => self.begin(Part::Version),
            b'/' => self.begin(Part::Path),
            b'@' => {
                self.drop_authority();
                return false;
            }
            b'?' | b'#' => {
                self.begin(Part::Path);
                return false;
            }
            b'\r' | b'\n' => {
                self.begin(Part::Over);
                return false;
            }
            _ => {}
        }
        true
    }

    /// What came was a name and a password, or may have been.
    #[inline(always)]
    fn drop_authority(&mut self) {
        self.kept_bytes = self.mark_bytes;
    }

    #[inline(always)]
    fn rest_of_target(&mut self, byte: u8) -> bool {
        match byte {
            b' ' => {
                self.begin(Part::Version);
                true
            }
            b'\n' => {
                self.begin(Part::Over);
                false
            }
            // A password may have a slash in it, against RFC 3986 §3.2.1.
            b'@' if self.in_authority != 0 => {
                self.drop_authority();
                false
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn version(&mut self, byte: u8, column: u32) -> bool {
        let is_http = column != 4 || self.last == HTTP;
        if !is_http || column > *VERSION_BYTES.end() {
            self.begin(Part::Over);
            return false;
        }
        if byte == b'\n' {
            if column < *VERSION_BYTES.start() {
                self.begin(Part::Over);
                return false;
            }
            self.tell(Part::Name);
        }
        true
    }

    #[inline(always)]
    fn name(&mut self, byte: u8, column: u32, before: u64) -> bool {
        match byte {
            // The empty line is one without a byte but these.
            b'\r' if column == 0 => self.begin(Part::Name),
            b'\n' if column == 0 => self.tell(Part::Over),
            b'\n' => {
                self.kept_bytes = self.mark_bytes;
                self.begin(Part::Name);
                return false;
            }
            b':' if before == HOST || before == UPGRADE => self.begin(Part::Value),
            b':' => {
                self.kept_bytes = self.mark_bytes;
                self.begin(Part::Rest);
                return false;
            }
            _ => {}
        }
        true
    }

    #[inline(always)]
    fn value(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            self.tell(Part::Name);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the programs do it: in place, up to `most` bytes.
    fn told(sent: &[u8], most: usize) -> String {
        let mut payload = sent.to_vec();
        let mut head = Head::START;
        for index in 0..sent.len().min(most) {
            if let Some(at) = head.take(payload[index]) {
                assert!(at as usize <= index, "it would overwrite what is not read yet");
                payload[at as usize] = payload[index];
            }
            if head.is_over() {
                break;
            }
        }
        String::from_utf8(payload[..head.told_bytes() as usize].to_vec()).expect("text")
    }

    #[test]
    fn a_frame_is_told_from_text() {
        assert!(is_http2_frame(b"\0\0\x05\0\x01\0\0\0\x03"));
        assert!(!is_http2_frame(b"{\"model\":"));
    }

    #[test]
    fn the_host_is_told_and_no_secret() {
        let sent = b"POST /bot-SECRET/v1?key=SECRET HTTP/1.1\r\nAuthorization: Bearer SECRET\r\n\
                     hOsT: LLM.example:8080\r\ncookie: SECRET\r\nx-host: SECRET\r\nnothost: SECRET\r\n\
                     Upgrade: h2c\r\n\r\n{\"prompt\": \"SECRET\r\nhost: SECRET\r\n\"}";
        let expected = "POST / HTTP/1.1\r\nhOsT: LLM.example:8080\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(told(sent, 4_096), expected);
    }

    #[test]
    fn whom_a_proxy_is_asked_for_is_told_without_password_and_path() {
        for (target, expected) in [
            ("http://a.example/SECRET", "http://a.example/"),
            ("http://me:SECRET@a.example:8000?SECRET", "http://a.example:8000"),
            ("HTTPS://a.example", "HTTPS://a.example"),
            ("http://[::1]:8000/SECRET", "http://[::1]:8000/"),
            ("http://a.example:/SECRET", "http://a.example:/"),
            ("http://me:SEC/RET@a.example/SECRET", "http://"),
            ("http://SEC/RET@a.example/", "http://"),
            ("http://me:SEC?RET@a.example/", "http://"),
            ("http://me:SEC@RET@a.example/", "http://a.example/"),
            ("*", "*"),
            ("/", "/"),
            ("/v1?http://me@a.example/SECRET", "/"),
        ] {
            let sent = format!("GET {target} HTTP/1.1\r\nHost: b.example\r\n\r\n");
            let expected = format!("GET {expected} HTTP/1.1\r\nHost: b.example\r\n\r\n");
            assert_eq!(told(sent.as_bytes(), 4_096), expected, "{target}");
        }
    }

    #[test]
    fn only_a_tunnel_is_asked_for_by_host_and_port_alone() {
        let connect = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(told(connect.as_bytes(), 4_096), connect);
        let with_password = "CONNECT me:SEC/RET@a.example:443 HTTP/1.1\r\n\r\n";
        assert_eq!(told(with_password.as_bytes(), 4_096), "CONNECT  HTTP/1.1\r\n\r\n");
        for target in
            ["a.example:443", "SECRET", "http:SECRET", "http:/SECRET", "ftp://SECRET/", ""]
        {
            let sent = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            assert_eq!(told(sent.as_bytes(), 4_096), "", "{target}");
        }
    }

    #[test]
    fn of_what_is_no_request_nothing_is_told() {
        for sent in [
            "*2\r\n$4\r\nAUTH\r\n$6\r\nSECRET\r\n",
            "AUTH SECRET\r\n",
            "AUTH SECRET HTTP\r\n",
            "AUTH PLAIN SECRET\r\nHOST: SECRET\r\n",
            "EHLO SECRET\r\n",
            "PASS SECRET SECRET/1.1\r\n\r\n",
            "GET /SECRET\r\nHost: a.example\r\n\r\n",
            "SECRETSECRETSECRETSECRET / HTTP/1.1\r\n",
            "{\"prompt\": \"SECRET\"}",
            "get / HTTP/1.1\r\n",
            " / HTTP/1.1\r\n",
            "GET / HTTP/1.1 SECRET\r\n",
            "GET / HTTP/1.1",
            "",
            "\0\0\x08SECRET",
        ] {
            assert_eq!(told(sent.as_bytes(), 4_096), "", "{sent}");
        }
    }

    #[test]
    fn what_is_cut_off_is_told_line_by_line() {
        let sent = b"PUT /v1 HTTP/1.0\nhost: a.example\nx: SECRET\nbroken\nupgrade: h2c\n\nbody";
        let all = "PUT / HTTP/1.0\nhost: a.example\nupgrade: h2c\n\n";
        assert_eq!(told(sent, 4_096), all);
        for most in 0..sent.len() {
            let told = told(sent, most);
            assert!(all.starts_with(&told), "{told}");
            assert!(told.is_empty() || told.ends_with('\n'), "a whole line: {told}");
        }
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06";
        assert_eq!(told(preface, 4_096), "PRI * HTTP/2.0\r\n\r\n");
    }
}
