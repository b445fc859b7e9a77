/**
 * A receiver of webhooks with nothing but Node and the package `standardwebhooks`. Needs Node 22.18 or newer, which runs
 * TypeScript as it is:
 *
 *   npm install standardwebhooks
 *   WEBHOOK_SECRET=whsec_… PORT=8080 node receiver.ts
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** The envelope of an event; what `data.object` holds depends on its type. */
interface LatchkeyEvent {
  id: string;
  type: string;
  createdAt: string;
  data: { object: Record<string, unknown>; previous?: Record<string, unknown> };
}

const MAX_BODY_BYTES = 1024 * 1024;

// Checks the signature in constant time, and that the delivery is not older than five minutes.
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? '');

// The same event can come more than once. In earnest this is a table with a unique column, written in the transaction
// that does the work: then an event is either done and remembered, or neither.
const handledIds = new Set<string>();

function handle(event: LatchkeyEvent): void {
  console.log(`handled ${event.id} ${event.type}`);
}

/** The status to answer with. */
async function receive(request: IncomingMessage): Promise<number> {
  if (request.method !== 'POST') return 405;
  // The bytes as they came: JSON that is parsed and written again has another signature.
  const body = await readBody(request);
  if (body === null) return 413;
  let event: LatchkeyEvent;
  try {
    event = webhook.verify(body, request.headers as Record<string, string>) as LatchkeyEvent;
  } catch {
    return 401;
  }
  const id = String(request.headers['webhook-id']);
  if (handledIds.has(id)) {
    console.log(`repeated ${id}`);
    return 204;
  }
  // Longer work belongs into a queue: whoever takes more than 15 seconds to answer gets the event again.
  handle(event);
  handledIds.add(id);
  return 204;
}

async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const server = createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    (error: unknown) => {
      console.error(error);
      // Anything but 2xx: the event comes again later.
      if (!response.destroyed) response.writeHead(500).end();
    },
  );
});

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`listening on ${String((server.address() as AddressInfo).port)}`);
});
