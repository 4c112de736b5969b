// The same calls as numbers.

import { element, keepInOrder } from "./dom.js";
import { clock, duration } from "./format.js";
import { PHASES, backOff, phasesOf, what } from "./phases.js";

const HEAD = ["call", "began", "kind", "provider", "model or process", "total", ...PHASES.map(({ name }) => name), "pauses", "outcome", "join"];

// Draws the calls into `box`, or brings the table there up to date.
export function drawTable(box, calls) {
  if (!box.querySelector("table")) box.replaceChildren(empty());
  keepInOrder(box.querySelector("tbody"), calls, row);
}

function empty() {
  const head = element("tr", {}, ...HEAD.map((name) => element("th", { scope: "col" }, name)));
  const made = element("table", {}, element("thead", {}, head), element("tbody"));
  return element("div", { className: "numbers", tabIndex: 0, role: "region", ariaLabel: "Calls as a table" }, made);
}

function row(call) {
  const link = element("a", { href: `calls/${call.id}` }, `#${call.id}`);
  const joins = [...new Set(call.attempts.map(({ join }) => join.replaceAll("_", " ")))];
  const cells = [
    clock(call.began_unix_ms), call.kind, call.provider, what(call), number(call.duration_ns),
    ...phasesOf(call).map(([, ns]) => number(ns)), number(backOff(call)),
    call.outcome.replaceAll("_", " "), joins.join(", "),
  ];
  return element("tr", {}, element("th", { scope: "row" }, link), ...cells.map((cell) => element("td", {}, cell)));
}

function number(ns) {
  return ns > 0 ? duration(ns) : "–";
}
