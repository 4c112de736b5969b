//! All that asks.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustls::ClientConfig;

use super::NAME;
use super::cell::{Asker, Cell};
use super::servers::SOURCES;
use crate::client::Client;

/// What both ends saw of an exchange, ns.
#[derive(Debug, Clone, Copy)]
pub struct Exchanged {
    /// The client's port.
    pub local_port: u16,
    /// Just before the server's first write of the answer.
    pub noted_ns: u64,
    /// When the read that returned the answer's first byte had returned.
    pub read_ns: u64,
}

/// One of each kind.
pub struct Askers {
    config: Arc<ClientConfig>,
    python: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Askers {
    /// Starts them.
    pub fn start(config: Arc<ClientConfig>) -> Self {
        let mut python = Command::new("python3")
            .arg(Path::new(SOURCES).join("client.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let questions = python.stdin.take().expect("piped");
        let answers = BufReader::new(python.stdout.take().expect("piped"));
        Self { config, python, questions, answers }
    }

    /// The process that asks by OpenSSL.
    pub fn process_id(&self) -> u32 {
        self.python.id()
    }

    /// Makes the connection of a cell, to the server at `port`.
    pub fn ask(&mut self, cell: &Cell, port: u16) -> Exchanged {
        match cell.asker {
            Asker::Rustls => self.ask_by_rustls(cell, port),
            Asker::OpenSsl => self.ask_by_openssl(cell, port),
        }
    }

    fn ask_by_rustls(&self, cell: &Cell, port: u16) -> Exchanged {
        let to = ([127, 0, 0, 1], port).into();
        let mut client = Client::connect(to, NAME, Some(&self.config));
        let mut request = format!(
            "POST /?delay_ms={}&bytes={} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            cell.delay_ms, cell.answer_bytes, cell.request_bytes
        )
        .into_bytes();
        request.resize(request.len() + cell.request_bytes, b'x');
        if cell.one_write {
            client.handshake_and_send(&request);
        } else {
            client.handshake().expect("a handshake");
            client.send(&request);
        }
        let answer = client.receive();
        let exchanged = Exchanged {
            local_port: client.local.port(),
            noted_ns: noted_ns(&answer),
            read_ns: client.first_read_ns,
        };
        client.until_closed();
        client.close();
        exchanged
    }

    fn ask_by_openssl(&mut self, cell: &Cell, port: u16) -> Exchanged {
        let Cell { delay_ms, answer_bytes, request_bytes, one_write, .. } = cell;
        let one_segment = u8::from(*one_write);
        writeln!(
            self.questions,
            "{NAME} {port} {one_segment} {delay_ms} {answer_bytes} {request_bytes}"
        )
        .expect("Python listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python answers");
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>().expect("a number"));
        let mut word = || words.next().unwrap_or_else(|| panic!("{cell:?}: {line:?}"));
        Exchanged { local_port: word() as u16, noted_ns: word(), read_ns: word() }
    }
}

impl Drop for Askers {
    fn drop(&mut self) {
        // It may have ended by itself, and a status would tell nothing.
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

/// What the server noted of its answer.
fn noted_ns(answer: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let noted = text.split("x-noted: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    noted.and_then(|noted| noted.parse().ok()).unwrap_or_else(|| panic!("no note: {text:.200}"))
}
