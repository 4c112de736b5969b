// The page: a lobby of scenes, and a stage with one connection to the server.
// The protocol is described in docs/PROTOCOL.md.

import { Voice } from "./voice.js";
import { Connection } from "./connection.js";

const $ = (id) => document.getElementById(id);
const SAVED = "digital-actors";

const voice = new Voice($("voice"), {
  blocked: () => aside("Press play below to hear the voice.", false),
  changed: () => showSpeaking(),
});
let config = null;
let connection = null;
let scene = null;
let difficulty = "normal";
let turn = null; // {number, bubble}: what the character is saying
let begun = 0; // the number of the connection's last turn that has begun
let thinking = null; // the bubble that waits for the first word
let keeping = true; // whether what is said can be found again later, as far as the player was told
let asked = null; // what the player said that is not answered yet
let cutOff = null; // {asked, answer}: what was being said when the connection was lost

// ---- lobby ----

async function openLobby() {
  try {
    const answer = await fetch("api/config");
    if (!answer.ok) throw new Error(answer.statusText);
    config = await answer.json();
  } catch {
    show($("lobby-error"), "The theatre can't be reached right now. Reload the page in a moment.");
    return;
  }
  $("voice").hidden = !config.audio_mime;
  $("line").maxLength = config.max_line_characters;
  $("difficulty").append(...config.difficulties.map(difficultyChoice));
  const saved = savedSession();
  $("scenes").replaceChildren(...config.scenes.map((each) => sceneCard(each, saved)));
}

function difficultyChoice(name) {
  const input = element("input", { type: "radio", name: "difficulty", value: name });
  input.checked = name === difficulty;
  input.addEventListener("change", () => { difficulty = name; });
  return element("label", {}, input, element("span", {}, name));
}

function sceneCard(each, saved) {
  const play = element("button", { type: "button" }, "Start");
  play.dataset.scene = each.id;
  play.addEventListener("click", () => enter(each, difficulty, null));
  const buttons = element("div", { className: "buttons" }, play);
  if (saved?.scene === each.id) {
    const resume = element("button", { type: "button", className: "quiet" }, "Continue");
    resume.addEventListener("click", () => enter(each, saved.difficulty, saved.token));
    buttons.append(resume);
  }
  const who = element("div", {}, element("b", {}, each.character.name), element("p", {}, each.character.description));
  const cast = element("div", { className: "cast" }, avatar(each.character), who);
  return element("li", {}, element("h2", {}, each.title), element("p", {}, each.description), cast, buttons);
}

function savedSession() {
  try {
    return JSON.parse(sessionStorage.getItem(SAVED));
  } catch {
    return null;
  }
}

// ---- stage ----

// Called from a click, which is what lets the voice be heard.
function enter(chosen, chosenDifficulty, token) {
  scene = chosen;
  difficulty = chosenDifficulty;
  voice.unlock();
  $("lobby").hidden = true;
  $("stage").hidden = $("leave").hidden = false;
  $("scene-title").textContent = scene.title;
  $("scene-description").textContent = scene.description;
  $("character-name").textContent = scene.character.name;
  $("character-description").textContent = scene.character.description;
  $("avatar").replaceWith(Object.assign(avatar(scene.character), { id: "avatar" }));
  $("gauges").replaceChildren(...scene.variables.map(gauge));
  $("controls").replaceChildren(...scene.controls.map(control));
  clearStage();
  asked = cutOff = null;
  connection = new Connection({
    start: { type: "start", scene: scene.id, difficulty },
    token,
    message: receive,
    audio: (bytes) => voice.append(bytes),
    state: connectionChanged,
  });
  $("line").focus({ preventScroll: true });
}

function leave() {
  connection?.close();
  connection = null;
  begun = 0;
  voice.stop(begun);
  $("stage").hidden = $("leave").hidden = true;
  $("lobby").hidden = false;
  $("connection").dataset.state = "off";
  $("connection").textContent = "";
  $("scenes").replaceChildren(...config.scenes.map((each) => sceneCard(each, savedSession())));
}

function clearStage() {
  $("log").replaceChildren();
  $("outcome").hidden = $("trouble").hidden = true;
  turn = thinking = null;
  keeping = true;
  showSpeaking();
}

function connectionChanged({ state, sentence, retry }) {
  const words = { on: "On stage", trying: "Connecting…", lost: "Away" };
  $("connection").dataset.state = state;
  $("connection").textContent = words[state];
  show($("trouble"), sentence);
  $("reconnect").hidden = !retry;
  if (state !== "on") {
    if (turn || thinking) cutOff = { asked, answer: turn?.bubble.textContent ?? "" };
    asked = null;
    endTurn("cancelled");
    dropThinking();
    begun = 0; // the next connection counts anew
    if (state === "trying") voice.disconnected();
    else voice.stop(begun); // it goes on elsewhere, or not at all
  }
  $("send").disabled = state !== "on";
}

// ---- what the server says ----

const receivers = {
  session({ token, history, resumed }) {
    connection.token = token;
    try {
      sessionStorage.setItem(SAVED, JSON.stringify({ scene: scene.id, difficulty, token }));
    } catch { /* without storage the scene can't be continued after a reload */ }
    const lost = cutOff;
    cutOff = null;
    if (!resumed) return;
    clearStage();
    for (const { speaker, text } of history) addLine(speaker, text);
    if (lost) restore(lost, history);
  },

  state({ variables, controls, outcome }) {
    for (const [name, value] of Object.entries(variables)) showGauge(name, value);
    for (const [id, view] of Object.entries(controls)) showControl(id, view);
    if (outcome) {
      show($("outcome"), outcome.message);
      $("outcome").dataset.result = outcome.result;
    }
  },

  turn_start({ turn: number }) {
    endTurn("cancelled");
    const bubble = thinking ?? addLine("character", "");
    bubble.classList.add("thinking");
    thinking = null;
    turn = { number, bubble };
    begun = number;
    showSpeaking();
  },

  text({ turn: number, text }) {
    if (turn?.number !== number) return;
    turn.bubble.classList.remove("thinking");
    keepingTheEndInView(() => turn.bubble.append(text));
  },

  audio_start({ turn: number, mime }) { voice.begin(number, mime); },
  audio_end() { voice.end(); },
  audio_drop({ turn: number }) { voice.cut(number); },

  turn_end({ turn: number, status, kept }) {
    if (status === "cancelled") voice.cut(number);
    if (kept !== undefined) showKeeping(kept);
    if (turn?.number !== number) return;
    asked = null;
    endTurn(status);
  },

  notice({ message }) { aside(message, false); },

  error({ message }) {
    dropThinking();
    aside(message, true);
  },
};

// Said when it begins, and when it is over.
function showKeeping(kept) {
  if (kept === keeping) return;
  keeping = kept;
  aside(kept
    ? "What you say is saved again from here on."
    : "What you say can't be saved right now: you can play on, but it will be missing when you come back.", !kept);
}

function receive(message) {
  receivers[message.type]?.(message);
}

// What the server does not remember of an answer that broke off is shown again.
function restore({ asked: line, answer }, history) {
  const known = answer
    ? history.some(({ speaker, text }) => speaker === "character" && text.startsWith(answer))
    : history.at(-2)?.text === line;
  if (known) return;
  if (line) addLine("player", line);
  if (answer) addLine("character", answer).classList.add("cancelled");
}

function endTurn(status) {
  if (turn) {
    turn.bubble.classList.remove("thinking");
    if (turn.bubble.textContent === "") turn.bubble.remove();
    else if (status !== "success") turn.bubble.classList.add("cancelled");
  }
  turn = null;
  showSpeaking();
}

// ---- what the player does ----

function say(event) {
  event.preventDefault();
  const text = $("line").value.trim();
  if (!text || !connection?.send({ type: "say", text })) return;
  voice.stop(begun);
  endTurn("cancelled");
  addLine("player", text);
  dropThinking();
  thinking = addLine("character", "");
  thinking.classList.add("thinking");
  asked = text;
  $("line").value = "";
}

function stop() {
  voice.stop(begun);
  connection?.send({ type: "interrupt" });
}

// ---- small parts ----

function gauge(variable) {
  const bar = element("div", { className: "bar", role: "meter", ariaLabel: variable.label });
  bar.ariaValueMin = variable.min;
  bar.ariaValueMax = variable.max;
  const row = element("div", { className: "gauge" }, element("dt", {}, variable.label), element("dd", {}), bar);
  row.dataset.variable = variable.name;
  return row;
}

function showGauge(name, value) {
  const row = $("gauges").querySelector(`[data-variable="${CSS.escape(name)}"]`);
  const variable = scene.variables.find((each) => each.name === name);
  if (!row || !variable) return;
  row.querySelector("dd").textContent = `${Math.round(value)} ${variable.unit}`.trim();
  const bar = row.querySelector(".bar");
  bar.ariaValueNow = value;
  bar.style.setProperty("--share", (value - variable.min) / (variable.max - variable.min));
}

function control(each) {
  const button = element("button", { type: "button", className: "control" },
    element("span", {}, each.label),
    element("span", { className: "left" }),
    element("small", {}, each.description));
  button.dataset.control = each.id;
  button.dataset.color = each.color;
  button.disabled = true;
  button.addEventListener("click", () => connection?.send({ type: "press", control: each.id }));
  return button;
}

function showControl(id, { ready, unlocked, rests_seconds, presses_left }) {
  const button = $("controls").querySelector(`[data-control="${CSS.escape(id)}"]`);
  if (!button) return;
  button.disabled = !ready;
  const notes = [];
  if (presses_left !== undefined) notes.push(`${presses_left}×`);
  if (!unlocked) notes.push("locked");
  else if (rests_seconds > 0) notes.push(`${Math.ceil(rests_seconds)} s`);
  button.querySelector(".left").textContent = notes.join(" · ");
}

function addLine(speaker, text) {
  const line = element("p", { className: `line ${speaker}` }, text);
  keepingTheEndInView(() => $("log").append(line), speaker === "player");
  return line;
}

function aside(text, isError) {
  const line = addLine("aside", text);
  line.classList.toggle("error", isError);
}

function dropThinking() {
  thinking?.remove();
  thinking = null;
}

// Follows the conversation unless the player has scrolled up to read.
function keepingTheEndInView(change, always = false) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (always || atEnd) log.scrollTop = log.scrollHeight;
}

// An answer is there long before its voice has said it.
function showSpeaking() {
  $("stop").hidden = !turn && !voice.speaks;
}

function avatar(character) {
  const hue = [...character.id].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);
  const circle = element("span", { className: "avatar", ariaHidden: "true" }, character.name[0]);
  circle.style.setProperty("--hue", hue);
  return circle;
}

function show(box, sentence) {
  box.hidden = !sentence;
  (box.querySelector("p, span") ?? box).textContent = sentence ?? "";
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

$("say").addEventListener("submit", say);
$("line").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) say(event);
});
$("stop").addEventListener("click", stop);
$("leave").addEventListener("click", leave);
$("again").addEventListener("click", () => {
  connection?.close();
  enter(scene, difficulty, null);
});
$("reconnect").addEventListener("click", () => {
  voice.unlock();
  connection?.retryNow();
});

openLobby();
