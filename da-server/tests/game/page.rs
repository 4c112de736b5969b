//! The page in a real browser: a line goes out, the answer grows, and the voice really sounds.

use da_standin::{Delay, Fault, Plan};
use da_testkit::browser::Browser;
use serde_json::json;

use crate::cut::Way;
use crate::firefox::Firefox;
use crate::server::Server;

const LAST_ANSWER: &str =
    "(document.querySelector('#log .line.character:last-of-type')?.textContent ?? '')";

/// Twelve pieces, far enough apart to be seen growing by a slow browser.
fn telling() -> Plan {
    Plan {
        text: Some(
            "The water is at my knees now. Open the reserve air before you do anything else, \
             and tell me when the needle moves."
                .into(),
        ),
        chunks: Some(12),
        between_chunks_ms: Delay::Fixed(300.0),
        ..Plan::default()
    }
}

pub async fn enter(browser: &Browser, server: &Server, scene: &str) {
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    browser.see(&format!("[data-scene={scene}]")).await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
}

pub async fn say(browser: &Browser, line: &str) {
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
    assert!(lengths.len() >= 2, "the answer grows before the player's eyes: {lengths:?}");
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

const VOICE: &str = "document.querySelector('#voice')";
const STOP_IS_THERE: &str = "document.querySelector('#stop').hidden === false";

/// A voice that is there at once, and takes its time to be heard.
fn long_line() -> Plan {
    let text = "The water is at my knees now, and it rises while we talk. ".repeat(4);
    Plan { text: Some(text), chunks: Some(1), ..Plan::default() }
}

#[tokio::test]
async fn the_stop_button_stays_while_the_voice_plays() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    enter(&browser, &server, "quiet").await;
    server.llm_plan(long_line());
    say(&browser, "Tell me.").await;
    browser.until(&format!("{VOICE}.currentTime > 0.2")).await;
    // All of it has been delivered; the player hears its beginning.
    server.scrape_until(|s| s.requests("quiet", "success") == 1.0).await;
    browser.until(&format!("{VOICE}.currentTime > 1 && !{VOICE}.ended")).await;
    assert_eq!(browser.evaluate(STOP_IS_THERE).await, json!(true));
    browser.see("#stop").await.click().await.expect("clicked");
    browser.until(&format!("{VOICE}.paused && !({STOP_IS_THERE})")).await;
    let stopped_at = browser.evaluate(&format!("{VOICE}.currentTime")).await;
    assert!(stopped_at.as_f64().expect("seconds") < 10.0, "{stopped_at}");

    // And where it is not stopped, it goes with the voice.
    server.llm_plan(Plan { text: Some("Yes.".into()), ..Plan::default() });
    say(&browser, "Really?").await;
    browser.until(STOP_IS_THERE).await;
    browser.until(&format!("!({STOP_IS_THERE}) && {VOICE}.ended")).await;
    browser.close().await;
}

/// From the next `audio_start` on, keeps what the server sends from the page, as a slow network would; and
/// counts how often the page has something played.
const HOLD: &str = "(() => {
    window.held = [];
    window.plays = 0;
    const handed = (event, handler) => {
        const starts = typeof event.data === 'string' && JSON.parse(event.data).type === 'audio_start';
        if (window.holding && (starts || held.length)) held.push(() => handler(event));
        else handler(event);
    };
    window.WebSocket = class extends WebSocket {
        set onmessage(handler) { super.onmessage = (event) => handed(event, handler); }
    };
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () { plays += 1; return play.call(this); };
    return true;
})()";

#[tokio::test]
async fn a_voice_on_its_way_is_not_heard_after_stop_or_a_new_line() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    browser.evaluate(HOLD).await;
    browser.see("[data-scene=quiet]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    for stops in [true, false] {
        server.llm_plan(long_line());
        browser.evaluate("window.holding = true").await;
        say(&browser, "Tell me.").await;
        browser.until("held.length > 2").await;
        server.llm_plan(Plan { text: Some("Yes.".into()), ..Plan::default() });
        if stops {
            browser.see("#stop").await.click().await.expect("clicked");
        } else {
            say(&browser, "Really?").await;
        }
        let begins = "(() => { plays = 0; held.shift()(); held.shift()(); return plays; })()";
        assert_eq!(browser.evaluate(begins).await, json!(0), "stopped by the button: {stops}");
        let rest =
            "(() => { holding = false; held.splice(0).forEach((each) => each()); return true; })()";
        browser.evaluate(rest).await;
    }
    // The answer to the new line is heard.
    browser.until(&format!("plays > 0 && {VOICE}.currentTime > 0.2")).await;
    browser.until(&format!("!({STOP_IS_THERE}) && {VOICE}.ended")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_connection_lost_in_mid_utterance_silences_nobody() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    let way = Way::to(server.address).await;
    browser.client.goto(&format!("http://{}/", way.address)).await.expect("page");
    browser.see("[data-scene=clock]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    server.llm_plan(long_line());
    // The voice comes slower than it is heard, so that it is not whole when the connection is lost.
    server.tts_plan(Plan {
        chunks: Some(20),
        between_chunks_ms: Delay::Fixed(2000.0),
        ..Plan::default()
    });
    say(&browser, "Tell me.").await;
    browser.until(&format!("{VOICE}.currentTime > 0.2")).await;
    let line = browser.evaluate(LAST_ANSWER).await;
    let before = browser.evaluate(&format!("{VOICE}.src")).await;
    way.cut();
    server.tts_plan(Plan::default());
    server.llm_plan(Plan { text: Some("I heard a bell.".into()), ..Plan::default() });
    browser.until("document.querySelector('#connection').dataset.state === 'trying'").await;
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    // What was seen stays, and what was asked.
    let shown = "[...document.querySelectorAll('#log .line')].map(line => line.textContent)";
    assert_eq!(browser.evaluate(shown).await, json!(["Tell me.", line]));
    // And the next line is heard, though its number is that of the one before.
    browser.see("[data-control=bell]:enabled").await.click().await.expect("pressed");
    browser.until(&format!("{LAST_ANSWER} === 'I heard a bell.'")).await;
    browser.until(&format!("{VOICE}.src !== {before} && {VOICE}.currentTime > 0.2")).await;
    browser.until(&format!("!({STOP_IS_THERE}) && {VOICE}.ended")).await;
    browser.close().await;
}

/// Of twenty pieces, one a second: it takes long to come, and each is enough to be heard.
fn slow_voice() -> Plan {
    Plan { chunks: Some(20), between_chunks_ms: Delay::Fixed(1000.0), ..Plan::default() }
}

/// As `currentTime` passes this, most of the voice is still to come.
const HEARD: &str = "document.querySelector('#voice').currentTime > 0.2";

async fn assert_still_coming(server: &Server) {
    let finished = server.scrape().await.requests("quiet", "success");
    assert_eq!(finished, 0.0, "it plays only when all of it has come");
}

#[tokio::test]
async fn firefox_plays_before_the_whole_voice_has_come() {
    let Some(mut firefox) = Firefox::open().await else { return };
    let server = Server::start().await;
    server.llm_plan(long_line());
    server.tts_plan(slow_voice());
    firefox.go_to(&format!("http://{}/", server.address)).await;
    firefox.until("document.querySelector('[data-scene=quiet]') !== null").await;
    firefox.evaluate("void document.querySelector('[data-scene=quiet]').click()").await;
    firefox.until("document.querySelector('#connection').dataset.state === 'on'").await;
    let say = "document.querySelector('#line').value = 'Tell me.', \
               void document.querySelector('#send').click()";
    firefox.evaluate(&format!("({say})")).await;
    firefox.until(HEARD).await;
    assert_still_coming(&server).await;
    // It plays on to the end, and then there is nothing to stop.
    server.scrape_until(|s| s.requests("quiet", "success") == 1.0).await;
    firefox.until(&format!("{VOICE}.ended && !({STOP_IS_THERE})")).await;
    let error = firefox.evaluate(&format!("{VOICE}.error?.message ?? null")).await;
    assert_eq!(error, json!(null));
    let seconds = firefox.evaluate(&format!("{VOICE}.currentTime")).await;
    assert!(seconds.as_f64().expect("seconds") > 5.0, "all of it: {seconds}");
}

/// What iPhones have in place of MediaSource is made of Chromium's.
#[tokio::test]
async fn a_browser_with_a_managed_source_alone_plays_before_the_whole_voice_has_come() {
    let Some(browser) = Browser::open(390, 844).await else { return };
    let server = Server::start().await;
    server.llm_plan(long_line());
    server.tts_plan(slow_voice());
    browser.client.goto(&format!("http://{}/", server.address)).await.expect("page");
    let swap = "(() => { window.ManagedMediaSource = window.MediaSource; \
                window.MediaSource = undefined; return true; })()";
    browser.evaluate(swap).await;
    browser.see("[data-scene=quiet]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    say(&browser, "Tell me.").await;
    browser.until(HEARD).await;
    assert_still_coming(&server).await;
    browser.close().await;
}

#[tokio::test]
async fn a_page_waits_for_a_database_that_is_away_and_keeps_its_session() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    let way = Way::to(server.address).await;
    browser.client.goto(&format!("http://{}/", way.address)).await.expect("page");
    browser.see("[data-scene=quiet]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    server.llm_plan(Plan { text: Some("I remember.".into()), ..Plan::default() });
    say(&browser, "Remember me").await;
    server.scrape_until(|s| s.queries("add_turn") == 1.0).await;
    let token = "JSON.parse(sessionStorage.getItem('digital-actors')).token";
    let before = browser.evaluate(token).await;

    let locked = crate::locked::lock(&server).await;
    way.cut();
    server.scrape_until(|s| s.closes("store_unavailable") >= 1.0).await;
    let words = browser.see("#trouble").await.text().await.expect("text");
    assert!(words.contains("can't be opened right now"), "{words}");
    drop(locked);
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    assert_eq!(browser.evaluate(token).await, before, "the same session");
    browser.until(&format!("{LAST_ANSWER} === 'I remember.'")).await;
    browser.close().await;
}
