//! The load balancer: nginx, which hands connections out in turn.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PORT: u16 = 15_431;

pub struct Nginx {
    process: Child,
    pub address: SocketAddr,
}

impl Nginx {
    /// One before `replicas`, with its files in `folder`.
    pub fn start(folder: &Path, replicas: &[SocketAddr]) -> Self {
        // Its own of all loopback addresses, so that its port is nobody else's.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 128 | a, b, c), PORT));
        let servers: String =
            replicas.iter().map(|replica| format!("server {replica};\n")).collect();
        let at = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/{what};\n"))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
             events {{}}\n\
             http {{\n\
             access_log off;\n\
             {temporary}\
             upstream replicas {{\n{servers}}}\n\
             server {{\n\
             listen {address};\n\
             location / {{\n\
             proxy_pass http://replicas;\n\
             proxy_http_version 1.1;\n\
             proxy_set_header Host $http_host;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection upgrade;\n\
             proxy_read_timeout 1h;\n\
             }}}}}}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).expect("written");
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.join("nginx.log"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { process, address };
        let tried_since = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            let log = std::fs::read_to_string(folder.join("nginx.log"));
            assert!(tried_since.elapsed() < Duration::from_secs(20), "nginx: {log:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
