//! One request answered: the plan, the wait, the writes.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::clock::{duration_ns, now_ns};
use crate::connection::Connection;
use crate::fault::Fault;
use crate::http::Request;
use crate::inject::{Cut, Delivery, inject};
use crate::log::{CloseReason, Event};
use crate::plan::Plan;
use crate::protocol::{Protocol, not_found};
use crate::response::{Body, Chunk, Response, frame_chunk};
use crate::socket::Transport;
use crate::wire::Exchange;

/// A plan for this request only: a JSON object whose fields replace those of the plan in force.
const PLAN_HEADER: &str = "x-standin-plan";

/// What the connection does after an exchange.
pub(crate) enum Next {
    Request,
    Close(CloseReason),
}

/// Answers a request as planned.
pub(crate) async fn answer(
    connection: &mut Connection,
    transport: &mut Transport,
    request: Request,
) -> io::Result<Next> {
    let shared = connection.shared.clone();
    let (number, _in_flight) = shared.begin_exchange();
    connection.host = request.host();
    let received = Event::Request {
        exchange: number,
        path: request.path.clone(),
        bytes: request.bytes,
        first_read_ns: request.first_read_ns,
    };
    connection.record(request.last_read_ns, received);

    let mut used = shared.plans.for_request(connection.name());
    let refused = match request.header(PLAN_HEADER).map(|json| used.plan.overridden_by(json)) {
        Some(Ok(plan)) => {
            used.plan = Arc::new(plan);
            None
        }
        Some(Err(error)) => Some(format!("{PLAN_HEADER}: {error:#}")),
        None => None,
    };
    let mut random = StdRng::seed_from_u64(shared.seed.wrapping_add(number));
    let fault = used.fault(&mut random, |fault| *fault != Fault::BadHandshake);
    let processing = used.plan.first_byte_ms.draw(&mut random);
    let mut exchange = Exchange {
        number,
        plan: used.plan,
        random,
        processing,
        in_flight: shared.in_flight(),
        audio: shared.audio.clone(),
    };
    let mut delivery = match (Protocol::of_path(&request.path), refused) {
        (None, _) => whole(not_found()),
        (Some(protocol), Some(message)) => whole(protocol.refusal(&mut exchange, 400, &message)),
        (Some(protocol), None) => {
            let response = protocol.answer(&mut exchange, &request);
            inject(fault, protocol, &mut exchange, response)
        }
    };
    delivery.response = delivery.response.replacing_headers(&exchange.plan.headers);
    let begin_ns = request.last_read_ns + duration_ns(processing);
    connection.alarm.until(begin_ns).await?;
    let keep_alive = request.keep_alive && !exchange.plan.close;
    let mut writer = Writer { connection, transport, number, written: 0 };
    writer.deliver(delivery, &exchange.plan, &mut exchange.random, keep_alive).await
}

/// Answers what is no request, and closes.
pub(crate) async fn refuse(
    connection: &mut Connection,
    transport: &mut Transport,
    status: u16,
    message: &str,
) -> io::Result<Next> {
    let shared = connection.shared.clone();
    let (number, _in_flight) = shared.begin_exchange();
    let error = json!({"error": {"type": "invalid_request_error", "message": message}});
    let mut writer = Writer { connection, transport, number, written: 0 };
    let delivery = whole(Response::json(status, &error));
    writer.deliver(delivery, &Plan::default(), &mut StdRng::seed_from_u64(0), false).await
}

fn whole(response: Response) -> Delivery {
    Delivery { response, cut: None, fault: None }
}

/// Writes one response and logs it.
struct Writer<'a> {
    connection: &'a mut Connection,
    transport: &'a mut Transport,
    number: u64,
    written: u64,
}

impl Writer<'_> {
    async fn deliver(
        &mut self,
        delivery: Delivery,
        plan: &Plan,
        random: &mut StdRng,
        keep_alive: bool,
    ) -> io::Result<Next> {
        let Delivery { response, cut, fault } = delivery;
        if cut.is_none() {
            self.record_fault(fault);
        }
        let chunks_sent = match cut {
            None => usize::MAX,
            Some(Cut::ResetAfter(chunks)) => chunks,
            Some(Cut::ResetBeforeHead) => {
                self.record_fault(fault);
                return Ok(Next::Close(CloseReason::Reset));
            }
            Some(Cut::Hang) => {
                self.record_fault(fault);
                return self.hang().await;
            }
        };
        let mut head = response.head(keep_alive).into_bytes();
        match &response.body {
            Body::Whole(body) => {
                head.extend_from_slice(match chunks_sent {
                    0 => &[],
                    usize::MAX => body,
                    _ => &body[..body.len() / 2],
                });
                self.start(response.status, &head).await?;
            }
            Body::Stream(chunks) => {
                let started_ns = self.start(response.status, &head).await?;
                self.stream(chunks, chunks_sent, started_ns, plan, random).await?;
            }
        }
        if cut.is_some() {
            self.record_fault(fault);
            return Ok(Next::Close(CloseReason::Reset));
        }
        let end = Event::ResponseEnd { exchange: self.number, bytes: self.written };
        let end_ns = self.transport.notes().last_write_ns;
        self.connection.record(end_ns, end);
        Ok(match keep_alive {
            true => Next::Request,
            false => Next::Close(CloseReason::ConnectionClose),
        })
    }

    /// Writes the first `sent` of the chunks. Before each but the first it waits, and where there
    /// is a further one that isn't sent, it waits for that one's time: a cut takes its place.
    async fn stream(
        &mut self,
        chunks: &[Chunk],
        sent: usize,
        started_ns: u64,
        plan: &Plan,
        random: &mut StdRng,
    ) -> io::Result<()> {
        let mut before_ns = started_ns;
        for (index, chunk) in chunks.iter().enumerate().take(sent.saturating_add(1)) {
            if index > 0 {
                // From the chunk before: gaps are planned, not points in time.
                let due_ns = before_ns + duration_ns(plan.between_chunks_ms.draw(random));
                self.connection.alarm.until(due_ns).await?;
            }
            if index == sent {
                break;
            }
            let framed = frame_chunk(&chunk.bytes, index + 1 == chunks.len());
            before_ns = self.write(&framed).await?;
            let written = Event::Chunk {
                exchange: self.number,
                index: index as u64,
                bytes: chunk.bytes.len() as u64,
                token: chunk.token,
            };
            self.connection.record(before_ns, written);
        }
        Ok(())
    }

    async fn start(&mut self, status: u16, bytes: &[u8]) -> io::Result<u64> {
        let t_ns = self.write(bytes).await?;
        let start = Event::ResponseStart { exchange: self.number, status };
        self.connection.record(t_ns, start);
        Ok(t_ns)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let t_ns = self.transport.write(bytes).await?;
        self.written += bytes.len() as u64;
        Ok(t_ns)
    }

    /// Waits for the client to give up.
    async fn hang(&mut self) -> io::Result<Next> {
        let mut ignored = BytesMut::new();
        while self.transport.read(&mut ignored).await? > 0 {
            ignored.clear();
        }
        Ok(Next::Close(CloseReason::Client))
    }

    fn record_fault(&self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            let injected = Event::Fault { exchange: Some(self.number), kind: fault.as_str() };
            self.connection.record(now_ns(), injected);
        }
    }
}
