// What is known of an attempt beside its phases. What is not known is left out.

import { element } from "./dom.js";
import { bytes, counted, duration } from "./format.js";
import { JOINS } from "./phases.js";

const TLS = { tls13: "TLS 1.3", tls12_full: "TLS 1.2", tls12_resumed: "TLS 1.2, resumed" };
const REUSE = { fresh: "fresh: this attempt paid for it", reused: "reused: it was there before" };

export function attemptFacts(attempt) {
  const groups = [
    ["Provider", answerFacts(attempt)],
    ["Connection", connectionFacts(attempt)],
    ["Traffic", trafficFacts(attempt)],
    ["Seen by", [["join", `${attempt.join.replaceAll("_", " ")}: ${JOINS[attempt.join] ?? ""}`]]],
  ];
  return element("div", { className: "facts" }, ...groups.map(group).filter(Boolean));
}

function answerFacts({ status, http, request_id, first_content_ns, error }) {
  return [
    ["status", status],
    ["protocol", http],
    ["request id", request_id],
    ["first content", after(first_content_ns)],
    ["error", error],
  ];
}

function connectionFacts({ reuse, socket }) {
  return [
    ["connection", REUSE[reuse]],
    ["from", socket?.local],
    ["to", socket?.remote],
    ["TLS", socket && (TLS[socket.tls] ?? socket.tls)],
    ["exchange", socket?.exchange && `number ${socket.exchange} on it`],
    ["DNS server", socket && socket.resolver],
    ["silent before", socket && length(socket.idle_before_ns)],
    ["round trip", socket && length(socket.rtt_ns)],
    ["least round trip", socket && length(socket.least_rtt_ns)],
    ["retransmits", socket?.retransmits],
  ];
}

function trafficFacts({ reads_total, body_bytes, socket }) {
  const wait = socket?.first_wait;
  return [
    ["request", socket && `${bytes(socket.request_bytes)}, TLS included`],
    ["response", socket && `${bytes(socket.response_bytes)}, TLS included`],
    ["body", reads_total > 0 ? `${bytes(body_bytes)} in ${counted(reads_total, "read")}` : null],
    ["last arrival", socket && after(socket.last_arrival_ns)],
    ["arrived", socket?.is_buffered ? "in bursts: held back by the provider or on the way" : null],
    ["window closed", socket?.window_closed_ns > 0 ? `${duration(socket.window_closed_ns)}: nobody read` : null],
    ["first wait to be read", wait && `${duration(wait.waited_ns)}, read ${after(wait.read_ns)}`],
    ["waited for a CPU", wait && length(socket.run_delay_ns)],
  ];
}

const isKnown = (value) => value !== null && value !== undefined;
const length = (ns) => (isKnown(ns) ? duration(ns) : null);
const after = (ns) => (isKnown(ns) ? `after ${duration(ns)}` : null);

function group([title, facts]) {
  const known = facts.filter(([, value]) => isKnown(value));
  if (known.length === 0) return null;
  const rows = known.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value))));
  return element("section", {}, element("h3", {}, title), element("dl", {}, ...rows));
}
