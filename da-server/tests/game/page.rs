//! The page in a real browser: a line goes out, the answer grows, and the voice really sounds.

use da_standin::{Delay, Fault, Plan};
use serde_json::json;

use crate::browser::Browser;
use crate::server::Server;

const LAST_ANSWER: &str =
    "(document.querySelector('#log .line.character:last-of-type')?.textContent ?? '')";

/// Twelve pieces, far enough apart to be seen growing.
fn telling() -> Plan {
    Plan {
        text: Some(
            "The water is at my knees now. Open the reserve air before you do anything else, \
             and tell me when the needle moves."
                .into(),
        ),
        chunks: Some(12),
        between_chunks_ms: Delay::Fixed(100.0),
        ..Plan::default()
    }
}

async fn enter(browser: &Browser, server: &Server, scene: &str) {
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    browser.see(&format!("[data-scene={scene}]")).await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
}

async fn say(browser: &Browser, line: &str) {
    let field = browser.see("#line").await;
    field.send_keys(line).await.expect("typed");
    browser.see("#send").await.click().await.expect("sent");
}

/// Lengths of the answer as it was seen, until the character has finished.
async fn watch_answer_grow(browser: &Browser) -> Vec<usize> {
    let mut lengths = vec![];
    browser.until(&format!("{LAST_ANSWER}.length > 0")).await;
    loop {
        let text = browser.evaluate(LAST_ANSWER).await;
        let length = text.as_str().expect("text").chars().count();
        if lengths.last() != Some(&length) {
            lengths.push(length);
        }
        if browser.evaluate("document.querySelector('#stop').hidden").await == json!(true) {
            return lengths;
        }
    }
}

async fn a_scene_is_played(width: u32, height: u32) {
    let Some(browser) = Browser::open(width, height).await else { return };
    let server = Server::start().await;
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    browser.see("[data-scene=submarine]").await;
    browser.screenshot(&format!("lobby-{width}")).await;

    enter(&browser, &server, "submarine").await;
    server.llm_plan(telling());
    say(&browser, "What do you need? {oxygen}").await;
    let lengths = watch_answer_grow(&browser).await;
    assert!(lengths.len() >= 4, "the answer grows before the player's eyes: {lengths:?}");
    assert!(lengths.is_sorted(), "{lengths:?}");
    let answer = browser.evaluate(LAST_ANSWER).await;
    assert!(answer.as_str().expect("text").ends_with("when the needle moves."), "{answer}");

    browser.until("Number(document.querySelector('#voice').dataset.bytes) > 1000").await;
    let buffered =
        "(a => a.buffered.length > 0 && a.buffered.end(0) > 1)(document.querySelector('#voice'))";
    browser.until(buffered).await;
    browser.until("document.querySelector('#voice').currentTime > 0.2").await;
    assert_eq!(browser.evaluate("document.querySelector('#voice').error").await, json!(null));

    let gauge = browser.evaluate("document.querySelector('[data-variable=oxygen] dd').textContent");
    assert!(gauge.await.as_str().expect("text").ends_with('%'));
    browser.see("[data-control=knock]:enabled").await.click().await.expect("pressed");
    browser.see("[data-control=knock]:disabled").await;
    let overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(overflow).await, json!(false), "nothing sticks out at the side");
    browser.until(&format!("{LAST_ANSWER}.length > 20")).await;
    browser.screenshot(&format!("scene-{width}")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_scene_is_played_on_a_desk() {
    a_scene_is_played(1280, 800).await;
}

#[tokio::test]
async fn a_scene_is_played_on_a_phone() {
    a_scene_is_played(390, 844).await;
}

#[tokio::test]
async fn what_was_heard_does_not_stay_in_memory() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    let watch = "(() => {
        const { createObjectURL, revokeObjectURL } = URL;
        window.made = 0;
        window.kept = new Set();
        URL.createObjectURL = (what) => {
            const url = createObjectURL.call(URL, what);
            made += 1;
            kept.add(url);
            return url;
        };
        URL.revokeObjectURL = (url) => {
            kept.delete(url);
            revokeObjectURL.call(URL, url);
        };
    })()";
    browser.evaluate(watch).await;
    browser.see("[data-scene=quiet]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    server.llm_plan(telling());
    say(&browser, "Tell me.").await;
    browser.until("document.querySelector('#voice').currentTime > 0.2 && kept.size > 0").await;

    // Whatever still waits or plays by then, the last one plays to its end.
    let made = browser.evaluate("made").await.as_u64().expect("count");
    server.llm_plan(Plan { text: Some("Yes.".into()), ..Plan::default() });
    say(&browser, "Really?").await;
    browser.until(&format!("made > {made} && kept.size === 0")).await;
    browser.close().await;
}

#[tokio::test]
async fn trouble_is_a_sentence_and_the_page_finds_its_way_back() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    enter(&browser, &server, "quiet").await;
    server.llm_plan(Plan { fault: Some(Fault::Overloaded), ..Plan::default() });
    say(&browser, "Hello?").await;
    let sentence = browser.see("#log .aside.error").await.text().await.expect("text");
    assert_eq!(sentence, "Lis can't be reached right now. Please try again in a moment.");

    server.llm_plan(Plan { text: Some("I am back.".into()), ..Plan::default() });
    say(&browser, "Hello again").await;
    browser.until(&format!("{LAST_ANSWER} === 'I am back.'")).await;

    // The scene goes on elsewhere, and then here again, with what was said.
    let token =
        browser.evaluate("JSON.parse(sessionStorage.getItem('digital-actors')).token").await;
    let mut elsewhere = server.player().await;
    elsewhere.start_as(json!({"type": "start", "scene": "quiet", "token": token})).await;
    browser.see("#trouble").await;
    browser.screenshot("replaced-1280").await;
    browser.see("#reconnect").await.click().await.expect("clicked");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    let lines = "[...document.querySelectorAll('#log .line')].map(line => line.textContent)";
    browser.until(&format!("{lines}.length === 2")).await;
    assert_eq!(browser.evaluate(lines).await, json!(["Hello again", "I am back."]));

    // The server goes away; the page says so and keeps trying.
    server.stop().await.expect("stopped");
    browser.until("document.querySelector('#connection').dataset.state === 'trying'").await;
    let words = browser.see("#trouble").await.text().await.expect("text");
    assert!(words.contains("Trying again"), "{words}");
    browser.close().await;
}
