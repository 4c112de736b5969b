//! What is checked after every case: the game goes on, and nothing is left of what was done.

use std::time::{Duration, Instant};

use da_testkit::scrape::Scrape;

use crate::server::{PATIENCE, Server};

/// What gauges have to come back to.
const AT_REST: [&str; 3] = ["active_sessions", "provider_calls_in_flight", "db_queries_in_flight"];

/// More tokens than all the answers of a case can have had.
const TOO_MANY_TOKENS: f64 = 1e9;

/// A server that has played a turn and has nothing to do.
pub struct Rest {
    descriptors: usize,
}

/// Has a turn played, so that what is opened once is open, and waits until all is quiet.
pub async fn at_rest(server: &Server) -> Rest {
    assert_eq!(server.turn("How do you do?").await, "success", "before anything was done");
    let mut rest = Rest { descriptors: usize::MAX };
    wait_for_rest(server, &rest).await;
    rest.descriptors = descriptors(server);
    rest
}

/// A healthy player gets a turn, `/health` and `/metrics` answer, gauges come back to 0, no descriptor is
/// left, nothing has panicked, and the server ends in order when it is told to.
pub async fn assert_the_game_goes_on(server: Server, rest: &Rest) {
    assert_eq!(server.turn("How do you do?").await, "success", "{}", server.log_end());
    assert_eq!(server.get("/health").await.0, 200);
    let scrape = wait_for_rest(&server, rest).await;
    let tokens = scrape.sum("llm_tokens_total");
    assert!(tokens < TOO_MANY_TOKENS, "{tokens} tokens were counted");
    let (status, log) = server.stop();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

/// Waits until the gauges and the descriptors say that nothing is under way.
async fn wait_for_rest(server: &Server, rest: &Rest) -> Scrape {
    let began = Instant::now();
    loop {
        let scrape = server.scrape().await;
        let busy: Vec<_> =
            AT_REST.iter().filter(|gauge| scrape.sum(gauge) != 0.0).copied().collect();
        let open = descriptors(server);
        let to_the_provider = server.provider.open();
        if busy.is_empty() && to_the_provider == 0 && open <= rest.descriptors {
            return scrape;
        }
        let (most, log) = (rest.descriptors, server.log_end());
        assert!(
            began.elapsed() < PATIENCE,
            "not at rest: {busy:?}, {open} descriptors in place of {most}, {to_the_provider} \
             connections to the provider\n{log}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many the server has open, but for those of its database, which has as many as queries were run side
/// by side.
fn descriptors(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.id());
    let open = std::fs::read_dir(folder).expect("its descriptors").flatten();
    let is_of_the_database = |path: std::path::PathBuf| {
        let file = std::fs::read_link(path).unwrap_or_default();
        file.to_string_lossy().contains("game.sqlite")
    };
    open.filter(|entry| !is_of_the_database(entry.path())).count()
}
