// One call, with everything that is known of it.

import { call as fetchCall } from "./api.js";
import { $, element } from "./dom.js";
import { enter } from "./entry.js";
import { attemptFacts } from "./facts.js";
import { counted, date, duration, share } from "./format.js";
import { CAUSES, COARSE, JOINS, PHASES, backOff, isCoarse, legend, phasesOf, what } from "./phases.js";
import { axis, gaps, placed, segment, tick, waterfall } from "./waterfall.js";

async function show() {
  const call = await fetchCall(location.pathname.split("/").at(-1));
  document.title = `Call ${call.id} – Digital Actors`;
  $("title").textContent = `Call ${call.id}`;
  $("lead").textContent = `${call.kind} · ${call.provider} · ${what(call)}`;
  $("content").replaceChildren(
    summary(call),
    element("section", { className: "whole" }, axis(call.duration_ns), waterfall(call), legend()),
    ...call.attempts.map((attempt, index) => attemptSection(call, attempt, index)),
    asJson(call));
}

function summary(call) {
  return element("section", { className: "summary" },
    element("p", { className: "total" }, duration(call.duration_ns)),
    element("p", { className: `outcome ${call.outcome}` }, call.outcome.replaceAll("_", " ")),
    element("p", {}, inOneSentence(call)),
    element("p", { className: "when" }, `Began ${date(call.began_unix_ms)}`),
    call.process?.workload ? element("p", { className: "when" }, `Workload ${call.process.workload}`) : null);
}

function inOneSentence(call) {
  const pauses = { name: "pauses between attempts", means: "nothing was asked" };
  const parts = [...phasesOf(call), [pauses, backOff(call)]];
  const [{ name, means }, ns] = parts.reduce((most, part) => (part[1] > most[1] ? part : most));
  return ns > 0
    ? `${share(ns, call.duration_ns)} of it was ${name}, ${means}.`
    : "It ended before its first attempt.";
}

function attemptSection(call, attempt, index) {
  const wholeNs = PHASES.reduce((sum, { id }) => sum + attempt.phases[id], 0);
  const title = call.attempts.length === 1 ? "The attempt" : `Attempt ${index + 1} of ${call.attempts.length}`;
  const after = attempt.after_ns > 1e6 ? `, begun after ${duration(attempt.after_ns)}` : "";
  const parts = [
    element("h2", {}, title, " ", element("small", {}, `${duration(wholeNs)}${after}`), " ",
      element("span", { className: `outcome ${attempt.outcome}` }, attempt.outcome.replaceAll("_", " "))),
    isCoarse(attempt) ? element("p", { className: "coarseness" }, `${JOINS[attempt.join]} ${COARSE}`) : null,
    phaseTable(attempt, wholeNs),
    attemptFacts(attempt),
  ];
  const section = element("section", { className: "attempt" }, ...parts.filter(Boolean));
  section.dataset.join = attempt.join;
  return section;
}

// The phases one below the other: a bar each, and the same as numbers.
function phaseTable(attempt, wholeNs) {
  let endNs = 0;
  const phases = PHASES.map((phase) => {
    const ns = attempt.phases[phase.id];
    const bar = ns > 0 ? placed(segment(phase, ns, isCoarse(attempt)), endNs, endNs + ns, wholeNs) : null;
    endNs += ns;
    const made = tableRow(phase.name, phase.means, [bar], ns > 0 ? duration(ns) : "–", ns > 0 ? share(ns, wholeNs) : "");
    made.dataset.phase = phase.id;
    made.classList.toggle("absent", ns === 0);
    return made;
  });
  const head = element("tr", {}, ...["phase", null, "took", "share"].map((name) =>
    element("th", { scope: "col" }, name ?? axis(wholeNs))));
  return element("table", { className: "phases" }, element("thead", {}, head), element("tbody", {}, ...phases, ...chunks(attempt, wholeNs)));
}

// When pieces of the response came, and when they were read.
function chunks(attempt, wholeNs) {
  const arrivals = attempt.socket?.arrivals_ns ?? [];
  const marked = (kind, times) => times.map((atNs) => tick(kind, atNs, wholeNs));
  const rows = [];
  if (arrivals.length > 0) {
    const last = attempt.socket.last_arrival_ns;
    const ticks = marked("arrival", last > arrivals.at(-1) ? [...arrivals, last] : arrivals);
    rows.push(tableRow("arrivals", "at the socket: the first eight, and the last", ticks, "", ""));
  }
  for (const [cause, ns] of Object.entries(attempt.socket?.long_gaps_ns ?? {})) {
    const bars = gaps({ ...attempt, after_ns: 0 }, wholeNs).filter((bar) => bar.classList.contains(cause));
    const drawnNs = attempt.socket.long_gaps.filter((gap) => gap.cause === cause).reduce((sum, gap) => sum + gap.to_ns - gap.from_ns, 0);
    const means = drawnNs < ns ? `${CAUSES[cause]}; not all are drawn` : CAUSES[cause];
    const made = tableRow(`gaps by ${cause}`, means, bars, duration(ns), share(ns, wholeNs));
    made.dataset.gaps = cause;
    rows.push(made);
  }
  if (attempt.reads.length > 0) {
    const ticks = marked("read", attempt.reads.map(({ at_ns }) => at_ns));
    const beyond = attempt.reads_total - attempt.reads.length;
    const means = beyond > 0 ? `by the application; ${counted(beyond, "later one")} not drawn` : "by the application";
    rows.push(tableRow("reads", means, ticks, "", ""));
  }
  return rows;
}

function tableRow(name, means, marks, took, part) {
  return element("tr", {},
    element("th", { scope: "row" }, name, element("small", {}, means)),
    element("td", { className: "place" }, element("div", { className: "bars", ariaHidden: "true" }, ...marks)),
    element("td", {}, took),
    element("td", {}, part));
}

function asJson(call) {
  return element("details", { className: "json" },
    element("summary", {}, "As JSON"),
    element("pre", { tabIndex: 0 }, JSON.stringify(call, null, 2)));
}

enter(show);
