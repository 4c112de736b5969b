// The door: asks for the token where the server does.

import { Unauthorized, hasToken, keepToken } from "./api.js";
import { $ } from "./dom.js";

// Runs `show` as soon as it is let in, and again whenever another token was given.
export function enter(show) {
  $("entry").addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken($("token").value.trim());
    $("token").value = "";
    attempt(show);
  });
  $("forget").addEventListener("click", () => {
    keepToken(null);
    location.reload();
  });
  attempt(show);
}

async function attempt(show) {
  $("problem").hidden = true;
  try {
    await show();
    open(true);
  } catch (error) {
    if (!(error instanceof Unauthorized)) return say(error.message);
    if (hasToken()) say("This is not the token.");
    keepToken(null);
    open(false);
  }
}

function open(isOpen) {
  $("entry").hidden = isOpen;
  $("content").hidden = !isOpen;
  $("forget").hidden = !hasToken();
  if (!isOpen) $("token").focus();
}

export function say(sentence) {
  $("problem").hidden = !sentence;
  $("problem").textContent = sentence;
}
