//! nginx, with a configuration of the caller's.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// How the configurations begin that are no operator's: one process in the foreground, whose files are all
/// in its own folder.
const BEGINNING: &str = "daemon off; worker_processes 1; user root; pid pid;
events { worker_connections 512; }
";

/// Where it would keep what it has no memory for.
const TEMPORARY: &str = "client_body_temp_path body; proxy_temp_path proxy;
fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
";

/// What starts it with this inside of `http { … }`. Its paths begin from `folder`.
///
/// # Errors
/// If the folder can't be written.
pub fn command(folder: &Path, http: &str) -> io::Result<Command> {
    let file = folder.join("nginx.conf");
    fs::write(&file, format!("{BEGINNING}http {{\n{TEMPORARY}{http}\n}}\n"))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]).arg(file);
    Ok(command)
}
