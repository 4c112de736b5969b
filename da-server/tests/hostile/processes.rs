//! A process that is stopped, killed, or told to end, in each state.

use std::time::Duration;

use da_standin::Decoder;
use da_testkit::player::Player;

use crate::case::{Case, play, play_over};
use crate::provider::Step::{Drip, Hang, Wait};
use crate::provider::{MARK, Provider, usual};
use crate::server::{Server, Settings, turn_of};

/// What the server is doing when it happens.
#[derive(Clone, Copy)]
enum State {
    Idle,
    /// A player is there, and nobody says anything.
    Listening,
    /// The model has not answered yet.
    Thinking,
    /// The model is answering.
    Speaking,
}

/// How long an answer takes in the states in which there is one.
const ANSWER: Duration = Duration::from_secs(1);

fn settings(state: State) -> Settings {
    let script = move |asked: Decoder| match (asked, state) {
        (Decoder::Audio, _) | (_, State::Idle | State::Listening) => None,
        (_, State::Thinking) => {
            Some(vec![Wait(ANSWER), crate::provider::Step::Send(usual(asked, MARK))])
        }
        (_, State::Speaking) => {
            let answer = usual(asked, MARK);
            let at_once = answer.len().div_ceil(20);
            Some(vec![Drip(answer, at_once, ANSWER / 20)])
        }
    };
    // One call that is blamed shuts its provider off.
    Settings::with(Provider::scripted(script)).set("DA_LLM__BREAKER__FAILURES", 1)
}

/// Brings the server into this state; the player whom it is about.
async fn bring(server: &Server, state: State) -> Option<Player> {
    if matches!(state, State::Idle) {
        return None;
    }
    let mut player = server.player().await;
    match state {
        State::Idle | State::Listening => {}
        State::Thinking => {
            player.say(MARK).await;
            player.wait_for("turn_start").await;
            tokio::time::sleep(ANSWER / 4).await;
        }
        State::Speaking => {
            player.say(MARK).await;
            player.hear_first_piece().await;
        }
    }
    Some(player)
}

/// Longer than the server waits for anything of a provider.
const PAUSE: Duration = Duration::from_secs(6);

fn paused(done: &'static str, state: State, expected: &'static str) {
    play(&Case { done, expected }, settings(state), async |server| {
        let player = bring(server, state).await;
        server.signal(libc::SIGSTOP);
        tokio::time::sleep(PAUSE).await;
        server.signal(libc::SIGCONT);
        match (player, state) {
            (None, _) => "success".to_owned(),
            (Some(mut player), State::Listening) => turn_of(&mut player, "Still here?").await,
            (Some(mut player), _) => {
                player.wait_for("turn_end").await["status"].as_str().unwrap_or_default().to_owned()
            }
        }
    });
}

/// What was kept before is there afterwards.
fn killed(done: &'static str, state: State, expected: &'static str) {
    play_over(&Case { done, expected }, settings(state), async |server| {
        let mut before = server.player().await;
        assert_eq!(turn_of(&mut before, "Remember this").await, "success");
        let token = before.token.clone();
        before.leave().await;
        // It is kept for certain once it can be asked for.
        assert_eq!(server.remembers(&token).await, 1);
        let player = bring(&server, state).await;
        let (server, _) = server.again(libc::SIGKILL);
        drop(player);
        let kept = server.remembers(&token).await;
        (server, format!("{kept} of 1 kept"))
    });
}

fn told_to_end(done: &'static str, state: State, expected: &'static str) {
    play_over(&Case { done, expected }, settings(state), async |server| {
        let player = bring(&server, state).await;
        server.signal(libc::SIGTERM);
        let goodbye = match player {
            None => "nobody to say goodbye to".to_owned(),
            Some(mut player) => player.wait_for_close().await.1,
        };
        let (server, status) = server.after_its_end();
        (server, format!("{goodbye}, exit code {:?}", status.code()))
    });
}

mod stopped {
    use super::*;

    cases! { paused;
        idle: "SIGSTOP for 6 s while nobody is there", State::Idle, "success";
        listening: "SIGSTOP for 6 s while a player is there", State::Listening, "success";
        thinking: "SIGSTOP for 6 s before the first word", State::Thinking, "success|error";
        speaking: "SIGSTOP for 6 s within an answer", State::Speaking, "success|error";
    }
}

mod kill {
    use super::*;

    cases! { killed;
        idle: "SIGKILL while nobody is there", State::Idle, "1 of 1 kept";
        listening: "SIGKILL while a player is there", State::Listening, "1 of 1 kept";
        thinking: "SIGKILL before the first word", State::Thinking, "1 of 1 kept";
        speaking: "SIGKILL within an answer", State::Speaking, "1 of 1 kept";
    }
}

mod term {
    use super::*;

    cases! { told_to_end;
        idle: "SIGTERM while nobody is there", State::Idle,
            "nobody to say goodbye to, exit code Some(0)";
        listening: "SIGTERM while a player is there", State::Listening,
            "server_shutdown, exit code Some(0)";
        thinking: "SIGTERM before the first word", State::Thinking,
            "server_shutdown, exit code Some(0)";
        speaking: "SIGTERM within an answer", State::Speaking,
            "server_shutdown, exit code Some(0)";
    }
}

#[test]
fn killed_on_the_receipt() {
    let done = "SIGKILL at the moment when the player hears that the turn succeeded, ten times";
    let case = Case { done, expected: "10 of 10 kept" };
    play_over(&case, Settings::healthy(), async |mut server| {
        let mut kept = 0;
        for _ in 0..10 {
            let mut player = server.player().await;
            assert_eq!(turn_of(&mut player, "Remember this").await, "success");
            let token = player.token.clone();
            (server, _) = server.again(libc::SIGKILL);
            drop(player);
            kept += server.remembers(&token).await;
        }
        (server, format!("{kept} of 10 kept"))
    });
}

#[test]
fn told_to_end_twice() {
    let case = Case { done: "SIGTERM twice within an answer that never ends", expected: "it ends" };
    let script = |asked: Decoder| (asked != Decoder::Audio).then(|| vec![Hang]);
    let settings = Settings::with(Provider::scripted(script)).set("DA_GRACE_SECONDS", 3600);
    play_over(&case, settings, async |server| {
        let mut player = server.player().await;
        player.say(MARK).await;
        player.wait_for("turn_start").await;
        server.signal(libc::SIGTERM);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (server, _) = server.again(libc::SIGTERM);
        (server, "it ends".to_owned())
    });
}

#[test]
fn reloaded() {
    let case = Case { done: "SIGHUP, 300 times", expected: "success" };
    play(&case, Settings::healthy(), async |server| {
        for _ in 0..300 {
            server.signal(libc::SIGHUP);
        }
        server.turn("Are you still there?").await
    });
}
