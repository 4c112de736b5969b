//! `/calls` in a real browser: the slowest call is on top, and its page says where the time went.

use da_server::calls::CallKind;
use serde_json::json;

use crate::browser::Browser;
use crate::sample_calls::{remarkable, usual};
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
async fn calls_are_drawn_on_a_desk() {
    calls_are_drawn(DESK).await;
}

#[tokio::test]
async fn calls_are_drawn_on_a_phone() {
    calls_are_drawn(PHONE).await;
}
