//! nginx in front of a stand-in: a server of another make, with OpenSSL's tickets and with HTTP/2.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use da_testkit::nginx;

/// A line of its log: one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the connection.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// `TLSv1.2`, `TLSv1.3`, or `-`.
    pub tls: String,
    /// The TLS session was resumed.
    pub resumed: bool,
    /// The request came as early data.
    pub early: bool,
}

/// A running nginx. It listens on Unix sockets: [`super::relay`] leads there.
pub struct Nginx {
    process: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Starts it before the stand-in at `upstream_port`, with `nginx.pem` and `key.pem` of `folder`.
    /// HTTP/1.1 connections end after `keepalive_requests`.
    pub fn start(folder: &Path, upstream_port: u16, keepalive_requests: usize) -> Self {
        let at = folder.display();
        // Another host's name: the connections onwards are none of the clients'.
        let onwards = format!(
            "location / {{ proxy_pass http://127.0.0.1:{upstream_port}; \
             proxy_set_header Host upstream.invalid; proxy_buffering off; }}"
        );
        let http = format!(
            "log_format exchanges '$host $connection $server_protocol $ssl_protocol \
               $ssl_session_reused $ssl_early_data';\n\
             access_log access.log exchanges;\n\
             ssl_certificate nginx.pem; ssl_certificate_key key.pem;\n\
             ssl_protocols TLSv1.2 TLSv1.3; ssl_early_data on; ssl_session_cache shared:s:1m;\n\
             server {{\n\
               listen \"unix:{at}/http1.sock\"; listen \"unix:{at}/tls1.sock\" ssl;\n\
               keepalive_requests {keepalive_requests};\n\
               {onwards}\n\
             }}\n\
             server {{\n\
               listen \"unix:{at}/http2.sock\" http2; listen \"unix:{at}/tls2.sock\" ssl http2;\n\
               {onwards}\n\
             }}"
        );
        // The thread that starts it may end before it does.
        let errors = File::create(folder.join("error.log")).expect("a log");
        let command =
            nginx::command(folder, &http).map(|mut command| command.stderr(errors).spawn());
        let process = command.and_then(|spawned| spawned).expect("nginx starts");
        let nginx = Self { process, folder: folder.to_owned() };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !socket(folder, true, true).exists() || !folder.join("access.log").exists() {
            assert!(Instant::now() < deadline, "nginx does not listen: {}", nginx.complaints());
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }

    /// Requests to `host` so far, once there are `expected` of them or a minute has passed: the log
    /// is written after the response.
    pub fn log(&self, host: &str, expected: usize) -> Vec<Line> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = fs::read_to_string(self.folder.join("access.log")).expect("reads");
            let lines: Vec<_> = text.lines().filter_map(|line| parse(line, host)).collect();
            if lines.len() >= expected || Instant::now() > deadline {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }
}

/// Where the nginx of `folder` listens.
pub fn socket(folder: &Path, tls: bool, http2: bool) -> PathBuf {
    folder.join(match (tls, http2) {
        (false, false) => "http1.sock",
        (true, false) => "tls1.sock",
        (false, true) => "http2.sock",
        (true, true) => "tls2.sock",
    })
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = self.process.id().cast_signed();
        // SAFETY: sends a signal to the child that this value owns and has not waited for, so the
        // number is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        // It ends by that signal; a status would tell nothing.
        let _ = self.process.wait();
    }
}

fn parse(line: &str, host: &str) -> Option<Line> {
    let mut words = line.split(' ');
    if words.next() != Some(host) {
        return None;
    }
    let mut word = || words.next().unwrap_or_default().to_owned();
    Some(Line {
        connection: word().parse().ok()?,
        protocol: word(),
        tls: word(),
        resumed: word() == "r",
        early: word() == "1",
    })
}
