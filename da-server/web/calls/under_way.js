// Requests that have not ended yet, the oldest first, as the kernel view saw them a second ago.

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
  responding: "response under way",
  quiet: "response over or pausing",
};

// Asks from now on until `signal` is aborted, while somebody looks.
export async function watchUnderWay(filters, isPaused, signal) {
  while (!signal.aborted) {
    if (!document.hidden && !isPaused()) {
      try {
        draw(await underWay(signal), filters());
      } catch (error) {
        // The door is opened elsewhere, and who follows says that the server is gone.
        if (error instanceof Unauthorized) return;
        $("under-way-section").hidden = true;
      }
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

function draw({ requests, total, looked_ns_ago }, { kind, provider, process }) {
  const section = $("under-way-section");
  section.hidden = looked_ns_ago === null;
  if (section.hidden) return;
  const admitted = requests.filter((request) =>
    (!kind || request.kind === kind) && (!provider || request.provider === provider) && (!process || request.process === process));
  const shown = admitted.slice(0, MOST_SHOWN).map((request) => ({ ...request, id: idOf(request) }));
  const more = admitted.length === requests.length ? total - shown.length : admitted.length - shown.length;
  const stale = looked_ns_ago > STALE_NS ? `, seen ${duration(looked_ns_ago)} ago` : "";
  $("under-way-count").textContent = `${counted(total, "request")}${stale}`;
  const box = $("under-way");
  if (shown.length === 0) {
    box.replaceChildren(element("p", { className: "none" }, "Nothing is under way."));
    return;
  }
  if (!box.querySelector("ol")) box.replaceChildren(element("ol"), element("p", { className: "more" }));
  const list = box.querySelector("ol");
  keepInOrder(list, shown, () => element("li", { className: "request" }));
  shown.forEach((request, index) => list.children[index].replaceChildren(...row(request)));
  box.querySelector(".more").textContent = more > 0 ? `and ${counted(more, "younger one")}` : "";
}

// A request is told by its connection, and its number there.
function idOf({ pid, local, remote, exchange, age_ns }) {
  return local.endsWith(":0") ? `${pid} ${remote} ${age_ns}` : `${local} ${remote} ${exchange}`;
}

function row(request) {
  return [
    element("span", { className: "what" }, element("b", {}, request.provider), ` ${request.process} ${request.pid}`),
    element("span", { className: "when" }, `${request.kind} · ${request.remote}`),
    element("span", { className: `doing ${request.state}` }, `${WORDS[request.state] ?? request.state} for ${duration(request.in_state_ns)}`),
    element("span", { className: "long" }, duration(request.age_ns)),
    element("span", { className: "notes" }, notes(request)),
  ];
}

function notes({ state, silent_ns, response_bytes, unread_bytes, window_closed_ns }) {
  const all = [];
  if (response_bytes > 0) all.push(`${bytes(response_bytes)} so far`);
  if (silent_ns > LONG_SILENT_NS && state !== "quiet") all.push(`silent for ${duration(silent_ns)}`);
  if (unread_bytes > 0) all.push(`${bytes(unread_bytes)} unread`);
  if (window_closed_ns > 0) all.push(`window closed for ${duration(window_closed_ns)}: nobody reads`);
  return all.join(" · ");
}
