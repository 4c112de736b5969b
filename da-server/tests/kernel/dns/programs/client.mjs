// Looks a host up, connects, asks for a path, and reads all there is if it was told one; prints how long it took until it
// was connected, ns.

import { resolve4 } from "node:dns/promises";
import { connect } from "node:net";

const [by, host, port, path] = process.argv.slice(2);
const began = process.hrtime.bigint();
const target = by === "c-ares" ? (await resolve4(host))[0] : host;
const connection = connect({ host: target, port: Number(port), autoSelectFamily: false }, () => {
  const took = process.hrtime.bigint() - began;
  connection.on("data", () => path || connection.destroy());
  connection.on("close", () => console.log(took.toString()));
  connection.write(`GET ${path ?? "/"} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
});
