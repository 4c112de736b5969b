// Numbers for people.

const STEPS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]];

// Three digits that count: 1.24 s, 38.1 ms, 412 µs.
export function duration(ns) {
  const [unit, name] = STEPS.find(([unit]) => ns >= unit) ?? [1, "ns"];
  const value = ns / unit;
  const digits = name === "ns" || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${name}`;
}

export function share(part, whole) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 1 ? "< 1 %" : `${percent.toFixed(0)} %`;
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };

export function clock(unixMs) {
  return new Intl.DateTimeFormat("en-GB", CLOCK).format(unixMs);
}

export function date(unixMs) {
  const options = { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" };
  return new Intl.DateTimeFormat("en-GB", options).format(unixMs);
}

export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// Round marks from 0 to a whole: at most five beside 0.
export function marks(wholeNs) {
  const least = wholeNs / 5;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= least);
  const all = [];
  for (let at = 0; at <= wholeNs; at += step) all.push(at);
  return all;
}

// A mark's words: 0, 200 ms, 1.5 s.
export function mark(ns) {
  const [unit, name] = STEPS.find(([unit]) => ns >= unit) ?? [1, ""];
  return `${Number((ns / unit).toPrecision(3))} ${name}`.trim();
}
