// Reads responses with node:http, after its event loop has been busy for a while.
//
//     reader.mjs HOST PATH STOP_MS REQUESTS

import http from "node:http";

const [host, path, stopMs, requests] = process.argv.slice(2);
const nobody = new Int32Array(new SharedArrayBuffer(4));

function exchange() {
  return new Promise((done, failed) => {
    http.get({ host, path, agent: false }, (response) => {
      if (Number(stopMs) > 0) Atomics.wait(nobody, 0, 0, Number(stopMs));
      response.on("data", () => {});
      response.on("end", done);
      response.on("error", failed);
    }).on("error", failed);
  });
}

for (let made = 0; made < Number(requests); made += 1) await exchange();
