// Sends the requests of a job (see ../job.rs) with fetch or node:http2.
//
//     client.mjs LIBRARY JOB
//
// Prints how many were answered with status 200. fetch has no setting for these: authority and TLS
// version come from the command line (NODE_EXTRA_CA_CERTS, --tls-min-v1.3), the address from here.

import dns from "node:dns";
import http2 from "node:http2";

const [library, text] = process.argv.slice(2);
const job = JSON.parse(text);
const family = job.address.includes(":") ? 6 : 4;
dns.lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: job.address, family }]) : done(null, job.address, family);

// One connection after the other: the last request on each asks the server to close it.
async function withFetch() {
  let answered = 0;
  for (let sent = 1; sent <= job.connections * job.requests; sent++) {
    const last = sent % job.requests === 0;
    const headers = last ? { ...job.headers, ...job.last_headers } : job.headers;
    const response = await fetch(job.url, { method: "POST", body: job.body, headers });
    await response.arrayBuffer();
    answered += response.status === 200;
  }
  return answered;
}

// Each connection resumes the TLS session of the one before.
async function withHttp2() {
  let answered = 0;
  let session;
  for (let made = 0; made < job.connections; made++) {
    const client = http2.connect(new URL(job.url).origin, { session });
    client.on("connect", () => client.socket.on?.("session", (ticket) => (session = ticket)));
    const post = () =>
      new Promise((resolve, reject) => {
        const path = new URL(job.url).pathname;
        const stream = client.request({ ":method": "POST", ":path": path, ...job.headers });
        let status;
        stream.on("response", (headers) => (status = headers[":status"]));
        stream.on("end", () => resolve(status));
        stream.on("error", reject);
        stream.resume();
        stream.end(job.body);
      });
    const statuses = [];
    for (let sent = 0; sent < job.requests; sent++) statuses.push(await post());
    statuses.push(...(await Promise.all(Array.from({ length: job.at_once }, post))));
    answered += statuses.filter((status) => status === 200).length;
    await new Promise((resolve) => client.close(resolve));
  }
  return answered;
}

console.log(await (library === "fetch" ? withFetch() : withHttp2()));
