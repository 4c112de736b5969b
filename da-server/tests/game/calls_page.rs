//! `/calls` in a real browser: the slowest call is on top, and its page says where the time went.

use std::collections::BTreeMap;
use std::time::Duration;

use da_server::calls::{CallKind, Phase};
use da_standin::{Delay, Plan};
use da_testkit::browser::Browser;
use serde_json::json;

use crate::sample_calls::{foreign, remarkable, usual};
use crate::server::Server;

const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (360, 780);

async fn with_calls() -> Server {
    let server = Server::start().await;
    remarkable().into_iter().for_each(|call| server.calls.add(call));
    for (id, total_ms) in [(7, 640.0), (8, 512.0), (9, 377.0), (10, 820.0), (11, 455.0)] {
        let kind = if id % 2 == 0 { CallKind::Tts } else { CallKind::Llm };
        server.calls.add(usual(id, kind, total_ms));
    }
    server
}

async fn goto(browser: &Browser, server: &Server, path: &str) {
    browser.client.goto(&format!("http://{}{path}", server.address)).await.expect("page");
}

async fn nothing_sticks_out(browser: &Browser) {
    let overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(overflow).await, json!(false), "nothing sticks out at the side");
}

async fn calls_are_drawn((width, height): (u32, u32)) {
    let Some(browser) = Browser::open(width, height).await else { return };
    let server = with_calls().await;
    goto(&browser, &server, "/calls").await;
    browser.see("#latest .call").await;
    nothing_sticks_out(&browser).await;
    browser.screenshot(&format!("calls-{width}")).await;
    browser.see("#slowest li:first-child .call").await.click().await.expect("clicked");
    browser.see("table.phases").await;
    nothing_sticks_out(&browser).await;
    browser.screenshot(&format!("call-{width}")).await;
    goto(&browser, &server, "/calls?show=table").await;
    browser.see("#latest table").await;
    nothing_sticks_out(&browser).await;
    browser.screenshot(&format!("calls-table-{width}")).await;
    browser.close().await;
}

#[tokio::test]
async fn another_processs_call_says_whose_it_is_and_can_be_asked_for() {
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let server = with_calls().await;
    server.calls.add(foreign(12, "python3"));
    goto(&browser, &server, "/calls").await;
    browser.until(&format!("{}[0] === 12", ids("latest"))).await;
    let offered =
        "[...document.querySelectorAll('[name=process] option')].map((each) => each.value)";
    assert_eq!(browser.evaluate(offered).await, json!(["", "python3"]));
    goto(&browser, &server, "/calls?process=python3").await;
    browser.until(&format!("{}.join() === '12'", ids("latest"))).await;
    let of_row = browser.evaluate(&format!("{}[0]", texts("#latest li"))).await;
    let of_row = of_row.as_str().expect("text");
    assert!(of_row.contains("anthropic python3 4711"), "{of_row}");
    assert!(!of_row.contains("application alone"), "{of_row}");
    browser.see("#latest li:first-child .call").await.click().await.expect("clicked");
    browser.see("section[data-join=observed]").await;
    let said = browser.evaluate("document.querySelector('#lead').textContent").await;
    assert_eq!(said, json!("llm · anthropic · python3 4711"));
    browser.close().await;
}

#[tokio::test]
async fn calls_are_drawn_on_a_desk() {
    calls_are_drawn(DESK).await;
}

#[tokio::test]
async fn calls_are_drawn_on_a_phone() {
    calls_are_drawn(PHONE).await;
}

/// Text of the elements that this selector finds, in order.
fn texts(selector: &str) -> String {
    format!("[...document.querySelectorAll({selector:?})].map((each) => each.textContent)")
}

fn ids(list: &str) -> String {
    format!("[...document.querySelectorAll('#{list} li')].map((each) => Number(each.dataset.call))")
}

#[tokio::test]
async fn a_call_that_waited_for_its_provider_is_on_top_and_says_so() {
    const INJECTED_MS: f64 = 900.0;
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    for first_byte_ms in [20.0, INJECTED_MS, 20.0] {
        // One sentence, which is one call to the voice.
        let text = Some("Ahoy.".to_owned());
        server.llm_plan(Plan {
            first_byte_ms: Delay::Fixed(first_byte_ms),
            text,
            ..Plan::default()
        });
        player.say("Hello").await;
        player.hear_turn().await;
    }
    goto(&browser, &server, "/calls").await;
    browser.until(&format!("{}.length === 6", ids("latest"))).await;
    let slowest = &server.calls.slowest()[0];
    let top = browser.evaluate(&format!("{}[0]", ids("slowest"))).await;
    assert_eq!(top, json!(slowest.id));
    browser.see("#slowest li:first-child .call").await.click().await.expect("clicked");
    browser.see("tr[data-phase=wait]").await;
    let waited = browser
        .evaluate("document.querySelector('tr[data-phase=wait] td:nth-child(3)').textContent");
    let waited = waited.await.as_str().expect("text").to_owned();
    let (number, unit) = waited.split_once(' ').expect("a number and a unit");
    let ms = BTreeMap::from([("ms", 1.0), ("s", 1e3)])[unit];
    let shown_ms = number.parse::<f64>().expect("number") * ms;
    let kept_ms = slowest.phases().ns(Phase::Wait) as f64 / 1e6;
    // Three digits of what the API has, which is never less than what was injected.
    assert!((shown_ms - kept_ms).abs() <= kept_ms * 0.005, "{waited}, kept as {kept_ms} ms");
    assert!(kept_ms >= INJECTED_MS, "{kept_ms} ms");
    let sentence = browser.see(".summary").await.text().await.expect("text");
    assert!(sentence.contains("of it was wait, until the response's first byte"), "{sentence}");
    let said = browser.see(".coarseness").await.text().await.expect("text");
    assert!(said.contains("no kernel view") && said.contains("wait includes send"), "{said}");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.bars .segment:not(.coarse)').length").await,
        json!(0)
    );
    browser.close().await;
}

#[tokio::test]
async fn phases_are_in_their_order_and_marks_are_told_in_words_too() {
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let server = with_calls().await;
    goto(&browser, &server, "/calls").await;
    browser.see("#latest .call").await;
    let order = Phase::ALL.map(|phase| phase.as_str().replace('_', " "));
    let legend =
        browser.evaluate(&format!("{}.slice(0, {})", texts(".legend li"), order.len())).await;
    assert_eq!(legend, json!(order));
    let words = "document.querySelector('#slowest li[data-call=\"1\"] .waterfall').ariaLabel";
    let words = browser.evaluate(words).await;
    assert!(
        words
            .as_str()
            .expect("text")
            .starts_with("queue 6.00 ms, dns 42.0 ms, connect 121 ms, tls 148 ms"),
        "{words}"
    );
    for (id, note) in [
        (1, "3 retransmits · window closed 250 ms · gaps by network 310 ms, window 270 ms"),
        (2, "2 attempts"),
        (4, "application alone"),
        (7, ""),
    ] {
        let notes = texts(&format!("#slowest li[data-call='{id}'] .notes"));
        assert_eq!(browser.evaluate(&notes).await, json!([note]), "{id}");
    }
    let drawn = |id: u64, what: &str| {
        format!("document.querySelectorAll('#slowest li[data-call=\"{id}\"] {what}').length")
    };
    for (id, what, count) in [
        (1, ".tick.arrival", 8),
        (1, ".tick.read", 13),
        (1, ".gap", 2),
        (2, ".gap", 0),
        (2, ".back-off", 1),
        (2, ".cross", 1),
        (4, ".segment.coarse", 4),
        (1, ".segment.coarse", 0),
    ] {
        assert_eq!(browser.evaluate(&drawn(id, what)).await, json!(count), "{id} {what}");
    }
    // By the keyboard alone: to the first call, and into it.
    let keys = "document.querySelector('#filters').elements.show.focus()";
    browser.evaluate(keys).await;
    let active = browser.client.active_element().await.expect("focus");
    active.send_keys("\u{E004}").await.expect("tab");
    assert_eq!(
        browser.evaluate("document.activeElement.closest('li')?.dataset.call").await,
        json!("1")
    );
    browser
        .client
        .active_element()
        .await
        .expect("focus")
        .send_keys("\u{E007}")
        .await
        .expect("enter");
    browser.see("table.phases").await;
    for (fact, value) in [
        ("TLS", "TLS 1.3"),
        ("retransmits", "3"),
        ("window closed", "250 ms: nobody read"),
        ("round trip", "11.4 ms"),
        ("request id", "req_018EeWyXxfu5pfWkrYcMdjWG"),
    ] {
        let found = format!(
            "[...document.querySelectorAll('dt')].find((dt) => dt.textContent === '{fact}')?.nextSibling.textContent"
        );
        assert_eq!(browser.evaluate(&found).await, json!(value), "{fact}");
    }
    let gaps = "[...document.querySelectorAll('tr[data-gaps]')]\
        .map((row) => [row.dataset.gaps, row.cells[2].textContent, row.querySelectorAll('.gap').length])";
    let expected = json!([["network", "310 ms", 1], ["window", "270 ms", 1]]);
    assert_eq!(browser.evaluate(gaps).await, expected);
    browser.close().await;
}

#[tokio::test]
async fn lists_stay_up_to_date_until_they_are_told_to_pause() {
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let server = Server::start().await;
    goto(&browser, &server, "/calls?kind=llm").await;
    browser.until("document.querySelector('#state').textContent === 'live'").await;
    for (id, kind) in [(1, CallKind::Llm), (2, CallKind::Tts), (3, CallKind::Llm)] {
        server.calls.add(usual(id, kind, 400.0 - 100.0 * id as f64));
    }
    browser.until(&format!("String({}) === '3,1'", ids("latest"))).await;
    assert_eq!(browser.evaluate(&ids("slowest")).await, json!([1, 3]));

    // What the reader is at stays where it is when others come.
    browser.evaluate("document.querySelector('#latest [data-call=\"3\"] a').focus()").await;
    server.calls.add(usual(4, CallKind::Llm, 700.0));
    browser.until(&format!("String({}) === '4,1,3'", ids("slowest"))).await;
    assert_eq!(
        browser.evaluate("document.activeElement.closest('li')?.dataset.call").await,
        json!("3")
    );

    browser.see("#pause").await.click().await.expect("clicked");
    server.calls.add(usual(5, CallKind::Llm, 800.0));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(browser.evaluate(&ids("latest")).await, json!([4, 3, 1]), "paused");
    browser.see("#pause").await.click().await.expect("clicked");
    browser.until(&format!("String({}) === '5,4,3,1'", ids("latest"))).await;

    // The server goes away and comes back, and knows nothing of before.
    let address = server.address;
    server.stop().await.expect("stopped");
    browser.until("document.querySelector('#state').dataset.state === 'trying'").await;
    let server = Server::with(|config| config.listen = address).await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    browser.until("document.querySelector('#state').dataset.state === 'on'").await;
    browser.until(&format!("String({}) === '1'", ids("latest"))).await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_keeps_it_out_of_addresses() {
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "open-sesame\n").expect("written");
    let path = file.path().to_owned();
    let server = Server::with(|config| config.metrics.bearer_token_file = Some(path)).await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    goto(&browser, &server, "/calls").await;
    for (token, problem) in
        [("open-says-me", "'This is not the token.'"), ("open-sesame", "undefined")]
    {
        browser.see("#token").await.send_keys(token).await.expect("typed");
        browser.see("#entry button").await.click().await.expect("sent");
        browser
            .until(&format!(
                "document.querySelector('#problem:not([hidden])')?.textContent === {problem}"
            ))
            .await;
    }
    browser.see("#latest .call").await;
    browser.until("document.querySelector('#state').textContent === 'live'").await;
    browser.see("#latest .call").await.click().await.expect("clicked");
    browser.see("table.phases").await;
    let kept = browser.evaluate("document.cookie + JSON.stringify(localStorage) + location.href + document.documentElement.outerHTML");
    assert!(!kept.await.as_str().expect("text").contains("open-sesame"));
    browser.see("#forget").await.click().await.expect("clicked");
    browser.see("#token").await;
    assert_eq!(browser.evaluate("document.querySelectorAll('table').length").await, json!(0));
    browser.close().await;
}

#[tokio::test]
async fn words_of_a_call_are_words_and_never_markup() {
    let Some(browser) = Browser::open(DESK.0, DESK.1).await else { return };
    let server = Server::start().await;
    let markup = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";
    let mut call = (*remarkable()[4]).clone();
    call.model = Some(markup.to_owned());
    call.attempts[0].error = Some(markup.to_owned());
    call.attempts[0].request_id = Some(markup.to_owned());
    server.calls.add(call.into());
    for path in ["/calls", "/calls?show=table", "/calls/5"] {
        goto(&browser, &server, path).await;
        browser.until("!document.querySelector('#content').hidden && document.body.textContent.includes('onerror')").await;
        let made = "document.querySelectorAll('img').length";
        assert_eq!(browser.evaluate(made).await, json!(0), "{path}");
    }
    goto(&browser, &server, "/calls/77").await;
    let said = browser.see("#problem").await.text().await.expect("text");
    assert!(said.contains("no longer kept"), "{said}");
    browser.close().await;
}
