// Requests that have not ended yet, those that hang first, as the kernel view saw them a second ago.

import { Unauthorized, underWay } from "./api.js";
import { $, element, keepInOrder } from "./dom.js";
import { bytes, counted, duration } from "./format.js";

const EVERY_MS = 1000;
const MOST_SHOWN = 20;
// Below that a stream merely breathes.
const LONG_SILENT_NS = 1e9;
// A look that is older says nothing of now.
const STALE_NS = 10e9;

const WORDS = {
  connecting: "connecting",
  handshake: "TLS handshake",
  waiting: "waiting for the first byte",
  peer_closed: "no answer, closed by the other side",
  unread: "response not read",
  responding: "response under way",
  quiet: "response over or pausing",
  closing: "no answer, closed by the process",
};

// Asks from now on until `signal` is aborted, while somebody looks.
export async function watchUnderWay(filters, isPaused, offer, signal) {
  while (!signal.aborted) {
    if (!document.hidden && !isPaused()) {
      try {
        draw(await underWay(query(filters()), signal), offer);
      } catch (error) {
        if (signal.aborted) return;
        // Who follows the calls asks for the token, or says that the server is gone.
        $("under-way-section").hidden = true;
        if (error instanceof Unauthorized) return;
      }
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

function query({ kind, provider, process, workload }) {
  const chosen = Object.entries({ kind, provider, process, workload }).filter(([, value]) => value);
  return new URLSearchParams([...chosen, ["limit", MOST_SHOWN]]);
}

function draw({ requests, matched, total, looked_ns_ago }, offer) {
  const section = $("under-way-section");
  section.hidden = looked_ns_ago === null;
  if (section.hidden) return;
  const stale = looked_ns_ago > STALE_NS ? `, seen ${duration(looked_ns_ago)} ago` : "";
  $("under-way-count").textContent = `${counted(matched, "request")}${stale}`;
  const box = $("under-way");
  offer("provider", requests.map(({ provider }) => provider));
  offer("process", requests.map(({ process }) => process));
  offer("workload", requests.map(({ workload }) => workload).filter(Boolean));
  if (requests.length === 0) {
    box.replaceChildren(element("p", { className: "none" }, matched < total ? `None of ${counted(total, "request")} is like that.` : "Nothing is under way."));
    return;
  }
  if (!box.querySelector("ol")) box.replaceChildren(element("ol"), element("p", { className: "more" }));
  const list = box.querySelector("ol");
  // A connection has one at a time.
  const shown = [...new Map(requests.map((request) => [request.id, request])).values()];
  keepInOrder(list, shown, () => element("li", { className: "request" }));
  shown.forEach((request, index) => list.children[index].replaceChildren(...row(request)));
  const more = matched - requests.length;
  box.querySelector(".more").textContent = more > 0 ? `and ${more} more` : "";
}

function row(request) {
  return [
    element("span", { className: "what" }, element("b", {}, request.provider), ` ${request.process} ${request.pid}`),
    element("span", { className: "when" }, `${request.kind} · ${request.local} to ${request.remote}`),
    element("span", { className: `doing ${request.state}` }, `${WORDS[request.state] ?? request.state} for ${duration(request.in_state_ns)}`),
    element("span", { className: "long" }, duration(request.age_ns)),
    element("span", { className: "notes" }, notes(request)),
  ];
}

function notes({ state, workload, silent_ns, response_bytes, unread_bytes, window_closed_ns }) {
  const all = [];
  if (workload) all.push(workload);
  if (response_bytes > 0) all.push(`${bytes(response_bytes)} so far`);
  if (silent_ns > LONG_SILENT_NS && state !== "quiet") all.push(`silent for ${duration(silent_ns)}`);
  if (unread_bytes > 0) all.push(`${bytes(unread_bytes)} unread`);
  if (window_closed_ns > 0) all.push(`window closed for ${duration(window_closed_ns)}: nobody reads`);
  return all.join(" · ");
}
