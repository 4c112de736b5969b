// An HTTPS server by Node, which is OpenSSL's two session tickets.
//
//     server.mjs CERTIFICATE KEY
//
// It prints and answers as server.py does.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [certificate, key] = process.argv.slice(2);
const options = { cert: readFileSync(certificate), key: readFileSync(key), minVersion: "TLSv1.3" };

const server = createServer(options, (request, response) => {
  const plan = new URL(request.url, "https://localhost").searchParams;
  request.resume();
  request.on("end", () => {
    setTimeout(() => {
      const body = Buffer.alloc(Number(plan.get("bytes")));
      response.writeHead(200, {
        "x-noted": process.hrtime.bigint().toString(),
        "content-length": body.length,
        connection: "close",
      });
      response.end(body);
    }, Number(plan.get("delay_ms")));
  });
});

server.listen(0, "127.0.0.1", () => {
  console.log("2", server.address().port);
  console.log("ready");
});
process.stdin.resume();
process.stdin.on("end", () => process.exit());
