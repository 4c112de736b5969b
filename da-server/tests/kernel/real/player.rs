//! A player who says lines and presses controls, and notes when what came.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// For so long nothing has to come of a turn before the player speaks.
const QUIET: Duration = Duration::from_secs(2);
/// Longer than a turn takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A turn. Its times are from what the player did, or from when it began.
#[derive(Debug)]
pub struct Turn {
    /// What the player did; nothing where the character began by itself.
    pub after: Option<&'static str>,
    /// When it began, milliseconds of the Unix epoch.
    pub began_unix_ms: u64,
    pub text: String,
    pub first_text: Option<Duration>,
    pub first_audio: Option<Duration>,
    pub audio_bytes: usize,
    /// How it ended, and when.
    pub end: Option<(String, Duration)>,
    began: Instant,
}

/// A connection.
pub struct Player {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// All turns so far.
    pub turns: Vec<Turn>,
    /// What was done last, and when, until a turn answers it.
    done: Option<(&'static str, Instant)>,
    last_news: Instant,
}

impl Player {
    /// Begins a scene, and listens until the character has said `openings`.
    pub async fn start(server: SocketAddr, scene: &str, openings: usize) -> Self {
        let url = format!("ws://{server}/ws");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connected");
        let mut player = Self { socket, turns: Vec::new(), done: None, last_news: Instant::now() };
        player.send(&json!({"type": "start", "scene": scene})).await;
        player.listen_until_quiet(openings).await;
        player
    }

    /// Says a line, and listens until all is said in answer to it.
    pub async fn say(&mut self, line: &'static str) {
        self.act(line, &json!({"type": "say", "text": line})).await;
    }

    /// Presses a control that the character notices, and listens.
    pub async fn press(&mut self, control: &'static str) {
        self.act(control, &json!({"type": "press", "control": control})).await;
    }

    async fn act(&mut self, what: &'static str, message: &Value) {
        self.done = Some((what, Instant::now()));
        self.send(message).await;
        self.listen_until_quiet(self.turns.len() + 1).await;
    }

    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("sent");
    }

    async fn listen_until_quiet(&mut self, turns: usize) {
        let began = Instant::now();
        self.last_news = began;
        while self.turns.len() < turns
            || self.turns.iter().any(|turn| turn.end.is_none())
            || self.last_news.elapsed() < QUIET
        {
            assert!(began.elapsed() < PATIENCE, "{:#?}", self.turns);
            let Ok(message) = timeout(QUIET / 10, self.socket.next()).await else { continue };
            self.take(message.expect("open").expect("a message"));
        }
    }

    fn take(&mut self, message: Message) {
        let now = Instant::now();
        let message: Value = match message {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            Message::Binary(audio) => json!({"type": "audio", "bytes": audio.len()}),
            _ => return,
        };
        let kind = message["type"].as_str().expect("a type");
        if kind == "turn_start" {
            let (after, began) = self.done.take().map_or((None, now), |(it, at)| (Some(it), at));
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
            self.turns.push(Turn {
                after,
                began_unix_ms: (since_epoch - began.elapsed()).as_millis() as u64,
                text: String::new(),
                first_text: None,
                first_audio: None,
                audio_bytes: 0,
                end: None,
                began,
            });
        }
        let Some(turn) = self.turns.last_mut() else { return };
        let after = now - turn.began;
        match kind {
            "turn_start" => {}
            "text" => {
                turn.first_text.get_or_insert(after);
                turn.text += message["text"].as_str().expect("text");
            }
            "audio" => {
                turn.first_audio.get_or_insert(after);
                turn.audio_bytes += message["bytes"].as_u64().expect("bytes") as usize;
            }
            "turn_end" => {
                turn.end = Some((message["status"].as_str().expect("a status").to_owned(), after));
            }
            "error" => println!("error: {message}"),
            // How the scene stands is no news of a turn.
            _ => return,
        }
        self.last_news = now;
    }
}
