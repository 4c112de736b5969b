// The slowest and the latest calls, kept up to date.

import { Unauthorized, calls, follow } from "./api.js";
import { $, element, keepInOrder } from "./dom.js";
import { enter, say } from "./entry.js";
import { clock, counted, duration } from "./format.js";
import { isCoarse, legend, notableGapsOf, what } from "./phases.js";
import { drawTable } from "./table.js";
import { watchUnderWay } from "./under_way.js";
import { axis, waterfall } from "./waterfall.js";

const FILTERS = ["kind", "provider", "of", "process", "workload", "outcome", "min_ms"];
const LISTS = {
  slowest: { limit: 15, add: (call, others) => [...others, call].sort((a, b) => b.duration_ns - a.duration_ns) },
  // The last one to end first, as the server has them.
  latest: { limit: 30, add: (call, others) => [call, ...others] },
};
// A page that is drawn more often is not read faster.
const REDRAW_MS = 250;
// The slowest calls grow old on the server.
const REFRESH_MS = 60_000;
// Who can't keep up is not to ask for more each time.
const LEAST_RELOADS_APART_MS = 5_000;
const MOST_OFFERED = 200;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
// Below that a burst has filled the window, and was read at once.
const LONG_CLOSED_NS = 1e6;
// From here on the row says that the process was kept from a CPU.
const LONG_UNSERVED_NS = 10e6;

const shown = { slowest: [], latest: [] };
// What ended since each load began: its answer may be older.
const loading = new Set();
let redrawing = 0;
let reloading = 0;
let following = null;

// ---- what is shown ----

function draw() {
  redrawing = 0;
  const { show, scale } = Object.fromEntries(new FormData($("filters")));
  for (const [name, list] of Object.entries(shown)) {
    const box = $(name);
    if (list.length === 0) box.replaceChildren(element("p", { className: "none" }, nothing()));
    else if (show === "table") drawTable(box, list);
    else drawWaterfalls(box, list, scale === "own");
  }
}

function drawWaterfalls(box, list, ownScale) {
  if (!box.querySelector("ol")) box.replaceChildren(element("div", { className: "scale" }), element("ol"));
  const longest = Math.max(...list.map((call) => call.duration_ns));
  box.querySelector(".scale").replaceChildren(...(ownScale ? [] : [axis(longest)]));
  keepInOrder(box.querySelector("ol"), list, row);
  for (const [index, item] of [...box.querySelectorAll("ol > li")].entries()) {
    item.style.setProperty("--share", ownScale ? 1 : list[index].duration_ns / longest);
  }
}

function row(call) {
  return element("li", {},
    element("a", { href: `calls/${call.id}`, className: "call" },
      element("span", { className: "what" }, element("b", {}, call.provider), ` ${what(call)}`),
      element("span", { className: "when" }, `${call.kind} #${call.id} · ${clock(call.began_unix_ms)}`),
      waterfall(call),
      element("span", { className: "long" }, duration(call.duration_ns)),
      element("span", { className: `outcome ${call.outcome}` }, call.outcome.replaceAll("_", " ")),
      element("span", { className: "notes" }, notes(call))));
}

function notes(call) {
  const all = [];
  if (call.process?.workload) all.push(call.process.workload);
  if (call.attempts.length !== 1) all.push(counted(call.attempts.length, "attempt"));
  const sentAgain = call.attempts.reduce((sum, { socket }) => sum + (socket?.retransmits ?? 0), 0);
  if (sentAgain > 0) all.push(counted(sentAgain, "retransmit"));
  const closedNs = call.attempts.reduce((sum, { socket }) => sum + (socket?.window_closed_ns ?? 0), 0);
  if (closedNs >= LONG_CLOSED_NS) all.push(`window closed ${duration(closedNs)}`);
  const gaps = notableGapsOf(call).map(([cause, ns]) => `${cause} ${duration(ns)}`);
  if (gaps.length > 0) all.push(`gaps by ${gaps.join(", ")}`);
  if (call.attempts.some(({ socket }) => socket?.is_buffered)) all.push("in bursts");
  const unservedNs = call.attempts.reduce((sum, { socket }) => sum + (socket?.run_delay_ns ?? 0), 0);
  if (unservedNs >= LONG_UNSERVED_NS) all.push(`waited for a CPU ${duration(unservedNs)}`);
  if (call.attempts.some(isCoarse)) all.push("application alone");
  return all.join(" · ");
}

function nothing() {
  return FILTERS.some((name) => $("filters").elements[name].value)
    ? "No remembered call is like that."
    : "No call yet. They appear here as soon as they end.";
}

function isPaused() {
  return $("pause").ariaPressed === "true";
}

function redrawSoon() {
  if (!isPaused()) redrawing ||= setTimeout(draw, REDRAW_MS);
}

// ---- what the server says ----

function chosen() {
  return Object.fromEntries(FILTERS.map((name) => [name, $("filters").elements[name].value]));
}

function query(more = {}) {
  return new URLSearchParams([...Object.entries(chosen()).filter(([, value]) => value), ...Object.entries(more)]);
}

async function load() {
  const asked = String(query());
  const names = Object.keys(LISTS);
  const meanwhile = [];
  loading.add(meanwhile);
  try {
    const answers = await Promise.all(names.map((order) => calls(query({ order, limit: LISTS[order].limit }))));
    // The reader may want others by now.
    if (asked !== String(query())) return;
    names.forEach((name, index) => { shown[name] = answers[index].calls; });
    meanwhile.forEach(insert);
    offer("provider", answers[0].providers);
    offer("process", answers[0].processes);
    offer("workload", answers[0].workloads);
    redrawSoon();
  } finally {
    loading.delete(meanwhile);
  }
}

function loadSoon() {
  reloading ||= setTimeout(() => {
    reloading = 0;
    load().catch((error) => say(error.message));
  }, LEAST_RELOADS_APART_MS);
}

function offer(filter, names) {
  const select = $("filters").elements[filter];
  const offered = new Set([...select.options].map((option) => option.value));
  for (const name of names) {
    if (!offered.has(name) && select.options.length < MOST_OFFERED) select.append(element("option", { value: name }, name));
  }
}

function take(call) {
  for (const meanwhile of loading) meanwhile.push(call);
  insert(call);
  offer("provider", [call.provider]);
  if (call.process) offer("process", [call.process.name]);
  if (call.process?.workload) offer("workload", [call.process.workload]);
  redrawSoon();
}

function insert(call) {
  for (const [name, { limit, add }] of Object.entries(LISTS)) {
    const others = shown[name].filter(({ id }) => id !== call.id);
    shown[name] = add(call, others).slice(0, limit);
  }
}

// Follows until the filters change, over as many connections as it takes.
async function live() {
  following?.abort();
  following = new AbortController();
  const { signal } = following;
  watchUnderWay(chosen, isPaused, offer, signal);
  const refresh = setInterval(() => load().catch(() => {}), REFRESH_MS);
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      await follow(query(), {
        opened() {
          failures = 0;
          state("on", "live");
          load().catch((error) => say(error.message));
        },
        call: take,
        missed({ calls }) {
          state("on", `live, ${counted(calls, "call")} skipped`);
          loadSoon();
        },
      }, signal);
    } catch (error) {
      if (error instanceof Unauthorized) location.reload();
    }
    if (signal.aborted) break;
    state("trying", "connection lost, trying again");
    const wait = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS);
    // Half of it by chance, so that many pages don't come back in the same moment.
    await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random() / 2)));
  }
  clearInterval(refresh);
}

function state(name, words) {
  $("state").dataset.state = name;
  $("state").textContent = words;
}

// ---- what the reader does ----

async function show() {
  await load();
  draw();
  live();
}

function choose() {
  history.replaceState(null, "", `?${new URLSearchParams([...new FormData($("filters"))].filter(([, value]) => value))}`);
  shown.slowest = shown.latest = [];
  show().catch((error) => say(error.message));
}

function restoreFilters() {
  for (const [name, value] of new URLSearchParams(location.search)) {
    const select = $("filters").elements[name];
    if (!(select instanceof HTMLSelectElement)) continue;
    // A link may name an outcome or a provider that the list does not offer yet.
    if (![...select.options].some((option) => option.value === value)) select.append(element("option", { value }, value));
    select.value = value;
  }
}

$("legend").append(legend());
$("filters").addEventListener("change", choose);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("pause").addEventListener("click", () => {
  const paused = $("pause").ariaPressed !== "true";
  $("pause").ariaPressed = String(paused);
  if (!paused) draw();
});
restoreFilters();
enter(show);
