// The phases of an attempt, in the order in which they come, and what an attempt's join means.

import { element } from "./dom.js";

export const PHASES = [
  { id: "queue", name: "queue", means: "until it begins to get a connection, or has one from the pool" },
  { id: "dns", name: "dns", means: "the provider's name is resolved" },
  { id: "connect", name: "connect", means: "SYN sent until the connection is there" },
  { id: "tls", name: "tls", means: "ClientHello sent until the handshake is done" },
  { id: "send", name: "send", means: "until the request's last byte is in the kernel" },
  { id: "wait", name: "wait", means: "until the response's first byte: the network and the provider" },
  { id: "pickup", name: "pickup", means: "until the application has read that byte" },
  { id: "first_token", name: "first token", means: "until the first content: text or audio" },
  { id: "stream", name: "stream", means: "until the last byte at the application" },
  { id: "unexplained", name: "unexplained", means: "what neither side saw" },
];

export const JOINS = {
  joined: "The kernel's view of exactly this attempt is in its phases.",
  no_socket: "It never came to a socket, so there was nothing for the kernel to see.",
  shared: "It shared its connection with others at the same time (HTTP/2): the kernel can't tell them apart.",
  ambiguous: "More than one attempt fits what the kernel saw; none was chosen.",
  doubtful: "The kernel saw the connection, but can't say where in it the response began.",
  missing: "What the kernel saw of it did not come in time: lost, or late.",
  unavailable: "There is no kernel view.",
  observed: "It is another process's, which tells nothing of it: all of it is what the kernel saw.",
};

// Whether the application alone says where the time went, although there was a socket.
export function isCoarse(attempt) {
  return !["joined", "no_socket", "observed"].includes(attempt.join);
}

export const COARSE =
  "Seen by the application alone: connect includes tls, wait includes send and pickup.";

// Whether an answer came, as far as is known.
export function isGood(outcome) {
  return ["success", "ok", "doubtful"].includes(outcome);
}

// What answered; of another process's call nobody knows, but whose it was.
export function what({ model, process }) {
  return process ? `${process.name} ${process.pid}` : model;
}

// What kept the next bytes of a response waiting.
export const CAUSES = {
  provider: "nothing else shows: the provider, or the way from it",
  network: "segments were lost on the way, or overtaken",
  window: "the receive window was closed, because nobody read",
  client: "what was there was not read; whether the provider waited for that does not show",
};

// [cause, ns] of the long gaps of all attempts together.
export function longGapsOf(call) {
  const sum = (cause) => call.attempts.reduce((ns, { socket }) => ns + (socket?.long_gaps_ns?.[cause] ?? 0), 0);
  return Object.keys(CAUSES).map((cause) => [cause, sum(cause)]).filter(([, ns]) => ns > 0);
}

// Those that are worth a note: a provider may think.
export function notableGapsOf(call) {
  return longGapsOf(call).filter(([cause]) => cause !== "provider");
}

// [phase, ns] of all attempts together, in order.
export function phasesOf(call) {
  const sum = (id) => call.attempts.reduce((ns, attempt) => ns + attempt.phases[id], 0);
  return PHASES.map((phase) => [phase, sum(phase.id)]);
}

export function backOff(call) {
  return phasesOf(call).reduce((left, [, ns]) => left - ns, call.duration_ns);
}

export function legend() {
  const swatch = (kind) => element("i", { className: kind });
  const item = (title, mark, words) => element("li", { title }, mark, words);
  return element("ul", { className: "legend", ariaLabel: "Legend" },
    ...PHASES.map(({ id, name, means }) => item(means, swatch(`segment ${id}`), name)),
    item("Between two attempts nothing is asked.", swatch("back-off"), "pause before a retry"),
    item(COARSE, swatch("segment wait coarse"), "low: the application's view alone"),
    item("The kernel's first eight, above the bar.", swatch("tick arrival"), "arrival at the socket"),
    item(CAUSES.provider, swatch("gap provider"), "long gap between arrivals"),
    item("Of the network, the window or the client.", swatch("gap network"), "dashed: one with another cause than the provider"),
    item("The application's first 128, below the bar.", swatch("tick read"), "read by the application"));
}
