// Looks a host up, connects, asks; prints how long it took until it was connected, ns.

import { resolve4 } from "node:dns/promises";
import { connect } from "node:net";

const [by, host, port] = process.argv.slice(2);
const began = process.hrtime.bigint();
const target = by === "c-ares" ? (await resolve4(host))[0] : host;
const connection = connect({ host: target, port: Number(port), autoSelectFamily: false }, () => {
  const took = process.hrtime.bigint() - began;
  connection.once("data", (answer) => {
    if (!answer.toString().startsWith("HTTP/1.1 200")) process.exit(1);
    console.log(took.toString());
    connection.destroy();
  });
  connection.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
});
