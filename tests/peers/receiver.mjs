// A receiver that checks what it gets with the published `standardwebhooks` library; with a public key
// (whpk_…), which no published library reads yet, with Node's own Ed25519.
//
// Speaks with the test in lines. It says `listening PORT` first. The test says `key SECRET`, which is
// answered with `key`, and from then on SECRET decides: 204 for a delivery that it verifies, 400 for
// another. Each delivery is told as `STATUS WEBHOOK-ID`. The end of its input ends it.

import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Where the libraries are, since this file stands elsewhere.
const library = createRequire(`${process.argv[2]}/`);
const { Webhook, WebhookVerificationError } = library("standardwebhooks");

let key = "";

// Ed25519 public keys as SubjectPublicKeyInfo: a fixed head and the 32 bytes (RFC 8410).
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

function asymmetric(body, headers) {
  const der = Buffer.concat([SPKI_HEAD, Buffer.from(key.slice("whpk_".length), "base64")]);
  const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
  const message = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const signatures = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  return signatures.some((one) => verify(null, message, publicKey, Buffer.from(one.slice(4), "base64")));
}

function holds(body, headers) {
  if (key.startsWith("whpk_")) return asymmetric(body, headers);
  try {
    return new Webhook(key).verify(body, headers).id === headers["webhook-id"];
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const status = holds(Buffer.concat(parts).toString(), request.headers) ? 204 : 400;
    console.log(`${status} ${request.headers["webhook-id"]}`);
    response.writeHead(status).end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  key = line.split(" ")[1];
  console.log("key");
});
lines.on("close", () => process.exit(0));
