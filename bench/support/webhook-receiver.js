import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';

/**
 * Applications that webhooks are sent to, in a process of its own. What comes to `/hang/…` is never answered; anything else is
 * answered 204 when its signature is right, and otherwise 401. Told `{ secret }`, it knows what `/signed/…` is signed with;
 * `{ forget: true }` begins anew. Every 50 ms it tells what came: how many different events, how many of them wrongly
 * signed, and when the last one did; and of `/told/…` the time of each.
 */

const TELL_MS = 50;

const now = () => performance.timeOrigin + performance.now();
let secret = '';
let seen = new Set();
let wrong = 0;
let lastAt = 0;
let arrivals = [];

function isRight(headers, body) {
  const id = headers['webhook-id'];
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${headers['webhook-timestamp']}.${body}`).digest('base64');
  return headers['webhook-signature'] === `v1,${signature}`;
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const at = now();
    if (request.url.startsWith('/hang/')) return;
    const body = Buffer.concat(chunks).toString('utf8');
    // A baseline's requests have no signature to check, and are no events.
    if (request.url.startsWith('/bare/')) {
      response.writeHead(204).end();
      return;
    }
    const isSigned = isRight(request.headers, body);
    if (!isSigned) wrong += 1;
    else if (!seen.has(`${request.url} ${request.headers['webhook-id']}`)) {
      seen.add(`${request.url} ${request.headers['webhook-id']}`);
      lastAt = at;
      if (request.url.startsWith('/told/')) arrivals.push({ at, name: JSON.parse(body).data.object.name });
    }
    response.writeHead(isSigned ? 204 : 401).end();
  });
});

process.on('message', (message) => {
  if (message.secret !== undefined) secret = message.secret;
  if (message.forget === true) [seen, wrong, lastAt, arrivals] = [new Set(), 0, 0, []];
});
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => {
  process.send({ port: server.address().port });
  setInterval(() => {
    process.send({ count: seen.size, wrong, lastAt, arrivals });
    arrivals = [];
  }, TELL_MS);
});
