// A call as one bar: attempt after attempt, phase after phase.
//
// Places are shares of the call; how wide the whole call is, is one number on the outside, so that
// another scale moves nothing within.

import { element } from "./dom.js";
import { duration, mark, marks } from "./format.js";
import { CAUSES, COARSE, PHASES, backOff, isCoarse, isGood, longGapsOf, phasesOf } from "./phases.js";

export function waterfall(call) {
  const bars = element("div", { className: "bars" });
  let endNs = 0;
  for (const attempt of call.attempts) {
    if (attempt.after_ns > endNs) {
      const pause = element("i", { className: "back-off", title: `pause ${duration(attempt.after_ns - endNs)}` });
      bars.append(placed(pause, endNs, attempt.after_ns, call.duration_ns));
    }
    endNs = attempt.after_ns;
    for (const [phase, ns] of segmentsOf(attempt)) {
      bars.append(placed(segment(phase, ns, isCoarse(attempt)), endNs, endNs + ns, call.duration_ns));
      endNs += ns;
    }
    bars.append(...ticks(attempt).map(([kind, atNs]) => tick(kind, attempt.after_ns + atNs, call.duration_ns)));
    bars.append(...gaps(attempt, call.duration_ns));
    if (!isGood(attempt.outcome)) {
      const cross = element("i", { className: `cross ${attempt.outcome}`, title: attempt.outcome }, "✕");
      bars.append(placed(cross, endNs, endNs, call.duration_ns));
    }
  }
  return element("div", { className: "waterfall", role: "img", ariaLabel: inWords(call) }, bars);
}

// The scale of a waterfall: round times along it.
export function axis(wholeNs) {
  const markAt = (ns) => placed(element("span", {}, mark(ns)), ns, ns, wholeNs);
  return element("div", { className: "axis", ariaHidden: "true" }, ...marks(wholeNs).map(markAt));
}

// A phase alone, at its place in an attempt.
export function segment({ id, name }, ns, coarse) {
  const className = `segment ${id}${coarse ? " coarse" : ""}`;
  return element("span", { className, title: `${name} ${duration(ns)}` }, element("b", {}, name));
}

export function tick(kind, atNs, wholeNs) {
  return placed(element("i", { className: `tick ${kind}` }), atNs, atNs, wholeNs);
}

export function placed(made, fromNs, toNs, wholeNs) {
  made.style.left = `${(100 * fromNs) / (wholeNs || 1)}%`;
  if (toNs > fromNs) made.style.width = `${(100 * (toNs - fromNs)) / (wholeNs || 1)}%`;
  return made;
}

// The long gaps between arrivals, at their places; `wholeNs` is what the bar stands for.
export function gaps({ after_ns, socket }, wholeNs) {
  return (socket?.long_gaps ?? []).map(({ from_ns, to_ns, cause }) => {
    const title = `gap of ${duration(to_ns - from_ns)} by ${cause}: ${CAUSES[cause]}`;
    return placed(element("i", { className: `gap ${cause}`, title }), after_ns + from_ns, after_ns + to_ns, wholeNs);
  });
}

function segmentsOf(attempt) {
  return PHASES.map((phase) => [phase, attempt.phases[phase.id]]).filter(([, ns]) => ns > 0);
}

function ticks(attempt) {
  const arrivals = (attempt.socket?.arrivals_ns ?? []).map((atNs) => ["arrival", atNs]);
  return [...arrivals, ...attempt.reads.map((read) => ["read", read.at_ns])];
}

// What the bar shows, for who does not see it.
function inWords(call) {
  const parts = phasesOf(call).filter(([, ns]) => ns > 0).map(([{ name }, ns]) => `${name} ${duration(ns)}`);
  for (const [cause, ns] of longGapsOf(call)) parts.push(`long gaps by ${cause} ${duration(ns)}`);
  if (backOff(call) > 0) parts.push(`pauses ${duration(backOff(call))}`);
  if (call.attempts.some(isCoarse)) parts.push(COARSE);
  return parts.join(", ") || "no attempt";
}
