// A receiver on node's own http2 server, with HTTP/1.1 beside it: checks each signature with node's own
// cryptography and writes a line of JSON for each request. Secrets come as lines on standard input.
//
//   node http2.mjs CERTIFICATE KEY

import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { createInterface } from 'node:readline';

const [certificate, key] = process.argv.slice(2).map((path) => readFileSync(path));
const secrets = new Map();
const seen = new Map();
let sessions = 0;

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const server = http2.createSecureServer({
  cert: certificate,
  key,
  allowHTTP1: true,
  settings: { maxConcurrentStreams: 50 },
});

server.on('session', (session) => {
  session.number = sessions++;
  session.served = 0;
  session.on('error', () => {});
});
server.on('sessionError', () => {});

function valid(headers, body) {
  const secret = secrets.get(headers['postrider-subscription']);
  if (!secret) return false;
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const want = createHmac('sha256', secret).update(signed).digest();
  return headers['webhook-signature'].split(' ').some((one) => {
    const got = Buffer.from(one.replace(/^v1,/, ''), 'base64');
    return one.startsWith('v1,') && got.length === want.length && timingSafeEqual(got, want);
  });
}

// What each path does with a request that is there, whole. `times` counts those with its id, from 1.
const ways = {
  '/ok': ({ answer }) => answer(204),
  '/body': ({ answer }) => answer(200, { 'content-type': 'text/plain' }, 'thanks'),
  '/fails': ({ answer }) => answer(503, { 'retry-after': '1' }),
  // Refused once: it was not processed, and says so.
  '/refused': ({ answer, stream, times }) =>
    times === 1 ? stream.close(http2.constants.NGHTTP2_REFUSED_STREAM) : answer(204),
  '/cancelled': ({ stream }) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
  // A server that is deployed anew every ten requests: says GOAWAY, answers what it has.
  '/goaway': ({ answer, stream }) => {
    const session = stream.session;
    session.served += 1;
    answer(204);
    if (session.served === 10) session.close();
  },
  // One that dies with the first request of an id.
  '/dies': ({ answer, stream, times }) => (times === 1 ? stream.session.destroy() : answer(204)),
  '/trailers': ({ answer, response }) => {
    response.addTrailers({ checksum: 'x' });
    answer(200, {}, 'ok');
  },
  '/hangs': () => {},
};

server.on('request', (request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('error', () => {});
  response.on('error', () => {});
  request.on('end', () => {
    const path = request.url;
    const id = request.headers['webhook-id'];
    const times = (seen.get(path + ' ' + id) ?? 0) + 1;
    seen.set(path + ' ' + id, times);
    say({
      path,
      id,
      attempt: Number(request.headers['postrider-attempt']),
      valid: valid(request.headers, Buffer.concat(chunks)),
      protocol: request.httpVersion,
      session: request.stream?.session?.number ?? null,
    });
    const answer = (status, headers = {}, body = '') => {
      response.writeHead(status, headers);
      response.end(body);
    };
    ways[path]({ answer, response, stream: request.stream, times });
  });
});

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { subscription, secret } = JSON.parse(line);
    secrets.set(subscription, Buffer.from(secret.replace(/^whsec_/, ''), 'base64'));
    say({ trusts: subscription });
  })
  // Whoever started it is gone.
  .on('close', () => process.exit(0));

server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
