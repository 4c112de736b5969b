//! One case: it says what it does, does it, and looks whether the game goes on.

use crate::after;
use crate::server::{Server, Settings};

/// What a row of the table says before anything has happened.
pub struct Case {
    /// What is done to the server.
    pub done: &'static str,
    /// What is to come of it, as [`play`] is told it came; `a|b` where either is right.
    pub expected: &'static str,
}

/// Starts a server, does to it what `hurt` does, which tells what came of it, and checks what is checked
/// of all cases.
pub fn play(case: &Case, settings: Settings, hurt: impl AsyncFnOnce(&Server) -> String) {
    play_over(case, settings, async |server| {
        let came = hurt(&server).await;
        (server, came)
    });
}

/// The same for what ends the server: another one has to go on in its place.
pub fn play_over(
    case: &Case,
    settings: Settings,
    hurt: impl AsyncFnOnce(Server) -> (Server, String),
) {
    println!("DONE: {}\nEXPECTED: {}, and the game goes on", case.done, case.expected);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = Server::start(settings);
        let rest = after::at_rest(&server).await;
        let (server, came) = hurt(server).await;
        println!("CAME: {came}");
        let is_expected = case.expected.split('|').any(|expected| expected == came);
        assert!(is_expected, "came: {came}\nexpected: {}\n{}", case.expected, server.log_end());
        after::assert_the_game_goes_on(server, &rest).await;
    });
}
