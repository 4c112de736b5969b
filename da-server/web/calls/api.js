// What the server says of calls, and the token that it may ask for.
//
// The token goes along in a header, as a scraper sends it, and is kept in this tab alone: never in an
// address, which ends up in histories and logs, nor in a cookie, which other pages could have sent.

const KEPT = "digital-actors-metrics-token";

export class Unauthorized extends Error {}

export function keepToken(token) {
  if (token) sessionStorage.setItem(KEPT, token);
  else sessionStorage.removeItem(KEPT);
}

export const hasToken = () => sessionStorage.getItem(KEPT) !== null;

// The calls that `query` (URLSearchParams) asks for, and all their providers.
export async function calls(query) {
  return (await ask(`?${query}`)).json();
}

export async function call(id) {
  return (await ask(`/${encodeURIComponent(id)}`)).json();
}

// The requests that have not ended, of those that `query` asks for.
export async function underWay(query, signal) {
  return (await ask(`/under_way?${query}`, signal)).json();
}

// Hands on each event until the stream ends. handlers: {opened(), call(call), missed({calls})}
export async function follow(query, handlers, signal) {
  const response = await ask(`/live?${query}`, signal);
  handlers.opened();
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) take(event, handlers);
  }
}

function take(event, handlers) {
  const fields = new Map(event.split("\n").map((line) => line.split(/: ?(.*)/s)));
  if (fields.has("data")) handlers[fields.get("event")]?.(JSON.parse(fields.get("data")));
}

async function ask(what, signal) {
  const token = sessionStorage.getItem(KEPT);
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(new URL(`../api/calls${what}`, import.meta.url), { headers, signal, cache: "no-store" });
  if (response.ok) return response;
  const refusal = await response.json().catch(() => null);
  const sentence = refusal?.error?.message ?? `The server answered ${response.status}.`;
  throw response.status === 401 ? new Unauthorized(sentence) : new Error(sentence);
}
