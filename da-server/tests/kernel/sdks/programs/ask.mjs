// Has an official SDK ask its provider, as the SDK's own documentation does.
//
//     ask.mjs SDK
//
// Where the provider is and whom to trust is left to the machine (/etc/hosts, NODE_EXTRA_CA_CERTS), the
// key to the SDK's own variable. The SDKs are in the folder that NODE_SDKS names. Prints how many
// answers came.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_SDKS}/package.json`);
const model = "test-model";
const question = "What do your gauges show?";
const messages = [{ role: "user", content: question }];
const streams = 3;

async function* openai() {
  const { OpenAI } = require("openai");
  const { completions } = new OpenAI().chat;
  for (let asked = 0; asked < streams; asked++) {
    let text = "";
    for await (const piece of await completions.create({ model, messages, stream: true }))
      text += piece.choices[0].delta.content ?? "";
    yield text;
  }
  yield (await completions.create({ model, messages })).choices[0].message.content;
}

async function* anthropic() {
  const { Anthropic } = require("@anthropic-ai/sdk");
  const client = new Anthropic();
  for (let asked = 0; asked < streams; asked++)
    yield await client.messages.stream({ model, messages, max_tokens: 64 }).finalText();
  yield (await client.messages.create({ model, messages, max_tokens: 64 })).content[0].text;
}

async function* elevenlabs() {
  const { ElevenLabsClient } = require("@elevenlabs/elevenlabs-js");
  const speech = new ElevenLabsClient().textToSpeech;
  for (const ask of [...Array(streams).fill("stream"), "convert"]) {
    let bytes = 0;
    for await (const piece of await speech[ask]("test-voice", { text: question }))
      bytes += piece.length;
    yield { length: bytes };
  }
}

const sdk = process.argv[2];
// By this name the collector tells it from whatever else Node does on this host.
process.title = `node-${sdk}`;
let came = 0;
for await (const answer of { openai, anthropic, elevenlabs }[sdk]()) came += answer.length > 0;
console.log(came);
