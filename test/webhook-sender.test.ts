import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, createServer as createListener, type Server as Listener } from 'node:net';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { VERSION } from '../src/core/version.js';
import { generateSecret } from '../src/domain/webhook-signature.js';
import { AddressGuard } from '../src/webhooks/address-guard.js';
import { addressesIn, resolveName, type ResolveName } from '../src/webhooks/resolver.js';
import { type AttemptOutcome, type SendingLimits, WebhookSender } from '../src/webhooks/sender.js';
import { selfSigned } from './support/certificate.js';
import { eventually } from './support/eventually.js';

/**
 * Sending (webhooks.md, "Endpoints" and "Delivery"): to whom a delivery goes and to whom not, what is sent, and what becomes
 * of receivers that are slow, endless or not who they say. Receivers are real servers on loopback.
 */

const LIMITS: SendingLimits = { connectTimeoutMs: 2000, bodyTimeoutMs: 2000, timeoutMs: 8000 };
const BODY = '{"id":"0199","type":"license.created","data":{"object":{"name":"Größe ☃"}}}';
const PUBLIC = '93.184.216.34';
const secret = generateSecret();

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  while (cleanUps.length > 0) await cleanUps.pop()!();
});

function senderFor(guard: AddressGuard, limits = LIMITS): WebhookSender {
  const sender = new WebhookSender(guard, limits);
  cleanUps.push(() => sender.close());
  return sender;
}

const guardFor = (resolve: ResolveName = resolveName, webhookAllowLoopback = false): AddressGuard =>
  new AddressGuard({ webhookAllowLoopback }, resolve);
const nearSender = (limits = LIMITS, resolve?: ResolveName): WebhookSender => senderFor(guardFor(resolve, true), limits);
const answering = (...addresses: string[]): ResolveName => jest.fn(() => Promise.resolve(addresses));
const deliver = (sender: WebhookSender, url: string, secrets = [secret]): Promise<AttemptOutcome> =>
  sender.send({ url, secrets, eventId: 'evt_1', body: BODY });

/** What came in, as it came. */
interface Received {
  headers: IncomingHttpHeaders;
  method: string;
  url: string;
  body: string;
}

async function listen(server: Listener, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A receiver on loopback that does what it is told with each request. */
async function receiver(handle: RequestListener): Promise<{ url: string; port: number; received: Received[]; connections: () => number }> {
  const received: Received[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    void readAll(request).then((body) => {
      received.push({ headers: request.headers, method: request.method!, url: request.url!, body });
      handle(request, response);
    });
  });
  server.on('connection', () => (connections += 1));
  const port = await listen(server);
  closing(server);
  return { url: `http://127.0.0.1:${port}`, port, received, connections: () => connections };
}

function closing(server: Server): void {
  cleanUps.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const ok: RequestListener = (_, response) => response.writeHead(204).end();
/** Whoever connects is counted and hears nothing. */
async function silence(host = '127.0.0.1'): Promise<{ port: number; connections: () => number }> {
  const sockets = new Set<{ destroy: () => unknown }>();
  const server = createListener((socket) => {
    sockets.add(socket.on('error', () => undefined));
  });
  const port = await listen(server, host);
  cleanUps.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port, connections: () => sockets.size };
}

describe('where nothing is sent', () => {
  /** Hosts that are this machine, its network or its cloud; `:port` is that of a listener which nobody may reach. */
  const spelt = [
    ...[
      '127.0.0.1',
      '127.0.0.1.',
      '127.1',
      '127.0.1',
      '127.255.255.254',
      '2130706433',
      '0x7f000001',
      '0x7f.0.0.1',
      '0x7f.1',
      '017700000001',
    ],
    ...[
      '0177.0.0.1',
      '0177.1',
      '0x7f.0.0x0.01',
      '127。0。0。1',
      '１２７.0.0.1',
      '①②⑦.0.0.1',
      '%31%32%37.0.0.1',
      '127%2e0%2e0%2e1',
      '0',
      '0.0.0.0',
      '0x0',
      '00',
    ],
    ...[
      'localhost',
      'LocalHost',
      'localhost.',
      'a.localhost',
      'ⓛocalhost',
      'l%6fcalhost',
      'localhost.localdomain',
      'ip6-localhost',
      'gateway',
    ],
    ...[
      '[::1]',
      '[0:0:0:0:0:0:0:1]',
      '[::0001]',
      '[::]',
      '[::ffff:127.0.0.1]',
      '[::FFFF:7f00:1]',
      '[0:0:0:0:0:ffff:127.0.0.1]',
      '[::127.0.0.1]',
    ],
    ...[
      '[64:ff9b::127.0.0.1]',
      '[64:ff9b:1::127.0.0.1]',
      '[2002:7f00:1::]',
      '[2001:0:7f00:1::]',
      '[::ffff:0:127.0.0.1]',
      '[fe80::1]',
      '[fec0::1]',
    ],
    ...['[fd00:ec2::254]', '[fd20:ce::254]', '[fc00::1]', '[ff02::1]', '[2001:db8::1]', '[3fff::1]', '[100::1]'],
    ...[
      '10.0.0.1',
      '172.16.0.1',
      '192.168.1.1',
      '100.64.0.1',
      '100.100.100.200',
      '169.254.169.254',
      '2852039166',
      '0xa9fea9fe',
      '0251.0376.0251.0376',
    ],
    ...[
      '168.63.129.16',
      '192.0.0.192',
      '192.0.2.1',
      '198.18.0.1',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
    ],
    ...['metadata', 'metadata.google.internal', 'metadata.google.internal.', 'printer.local', 'kubernetes.default.svc'],
  ];

  it('to no spelling of an address that is not public', async () => {
    const [v4, v6] = [await silence(), await silence('::1')];
    // Whatever a name might lead to, it would be here.
    const resolve = answering('127.0.0.1', '::1');
    const guard = guardFor(resolve);
    const sender = senderFor(guard);
    const urls = spelt.flatMap((host) =>
      ['https', 'http'].map((scheme) => `${scheme}://${host}:${host.includes(':') ? v6.port : v4.port}/`),
    );
    expect(urls.length).toBeGreaterThan(120);
    const judged = await Promise.all(urls.map(async (url) => ({ url, issue: await guard.issueOf(url), ...(await deliver(sender, url)) })));
    expect(judged.filter(({ issue }) => issue === null)).toEqual([]);
    const wanted = { responseCode: null, error: 'The URL must not lead to an address that is not public.', responseBody: null };
    expect(
      judged.filter((outcome) => outcome.error !== wanted.error || outcome.responseCode !== null || outcome.responseBody !== null),
    ).toEqual([]);
    expect([v4.connections(), v6.connections()]).toEqual([0, 0]);
    expect(resolve).not.toHaveBeenCalled();
  });

  const answers = [
    ...[
      ['127.0.0.1'],
      ['::1'],
      ['127.0.0.1', '::1'],
      ['10.1.2.3'],
      ['169.254.169.254'],
      ['fd00:ec2::254'],
      ['::ffff:127.0.0.1'],
      ['::ffff:7f00:1'],
    ],
    ...[
      ['::127.0.0.1'],
      ['64:ff9b::7f00:1'],
      ['2002:7f00:1::'],
      ['2001:0:7f00:1::'],
      ['fe80::1'],
      ['fe80::1%lo'],
      ['0.0.0.0'],
      ['::'],
      ['100.64.0.1'],
    ],
    ...[['255.255.255.255'], ['224.0.0.1'], ['2001:db8::1'], ['localhost'], ['2130706433'], ['0x7f.1'], ['']],
  ];

  it('to no name that leads to one', async () => {
    const { port, connections } = await silence();
    const judged = await Promise.all(
      answers.map(async (found) => {
        const guard = guardFor(answering(...found));
        const url = `https://hooks.example.com:${port}/`;
        return { issue: await guard.issueOf(url), error: (await deliver(senderFor(guard), url)).error };
      }),
    );
    const refused = { issue: 'must not lead to an address that is not public', error: 'The address is not public.' };
    expect(judged).toEqual(answers.map(() => refused));
    expect(connections()).toBe(0);
  });

  it('to a name that led to a public address when the endpoint was made, and now leads here', async () => {
    const { port, connections } = await silence();
    const resolve = jest.fn<ResolveName>().mockResolvedValueOnce([PUBLIC]).mockResolvedValue(['127.0.0.1']);
    const guard = guardFor(resolve);
    const url = `https://rebinding.example.com:${port}/`;
    expect(await guard.issueOf(url)).toBeNull();
    expect((await deliver(senderFor(guard), url)).error).toBe('The address is not public.');
    expect(connections()).toBe(0);
    expect(resolve).toHaveBeenCalledTimes(2);
  });

  it('to the rest of a name of which one address is public; at creation it is refused whole', async () => {
    const guard = guardFor(answering('127.0.0.1', PUBLIC, '10.0.0.1', '::1', '2606:4700::1'));
    expect(await guard.issueOf('https://mixed.example.com')).toBe('must not lead to an address that is not public');
    expect(await guard.addressesFor('mixed.example.com')).toEqual([PUBLIC, '2606:4700::1']);
  });

  it('with loopback allowed, to nothing else that is not public', async () => {
    const guard = guardFor(answering('10.0.0.1'), true);
    const sender = senderFor(guard);
    for (const url of ['https://10.0.0.1/', 'https://169.254.169.254/', 'https://[::ffff:127.0.0.1]/', 'https://0.0.0.0/']) {
      expect((await deliver(sender, url)).error).toBe('The URL must not lead to an address that is not public.');
    }
    expect((await deliver(sender, 'https://hooks.example.com/')).error).toBe('The address is not public.');
    expect((await deliver(sender, 'http://example.com/')).error).toBe('The URL must begin with https://.');
  });

  it.each([301, 302, 303, 307, 308, 300, 304])('after a redirect (%d), which is a failure', async (status) => {
    const target = await receiver(ok);
    const { url, received } = await receiver((_, response) => response.writeHead(status, { location: `${target.url}/inside` }).end());
    const outcome = await deliver(nearSender(), url);
    expect(outcome).toMatchObject({ responseCode: status, error: `The answer was ${status}, and redirects are not followed.` });
    expect(received).toHaveLength(1);
    expect(target.connections()).toBe(0);
  });

  it('through a proxy that the environment names', async () => {
    const proxy = await silence();
    const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'];
    const before = names.map((name) => [name, process.env[name]] as const);
    for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
    try {
      const { url } = await receiver(ok);
      expect((await deliver(nearSender(), url)).error).toBeNull();
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
      }
    }
    expect(proxy.connections()).toBe(0);
  });
});

describe('an endpoint may be made', () => {
  it.each([
    ['whose name leads to public addresses', answering(PUBLIC, '2606:4700::1')],
    ['whose name does not resolve yet', answering()],
    ['whose name servers fail', () => Promise.reject(new Error('SERVFAIL'))],
  ])('%s', async (_, resolve) => {
    expect(await guardFor(resolve).issueOf('https://hooks.example.com/latchkey')).toBeNull();
  });

  it('whose name servers never answer, after three seconds', async () => {
    jest.useFakeTimers();
    try {
      const issue = guardFor(() => new Promise(() => undefined)).issueOf('https://hooks.example.com/latchkey');
      await jest.advanceTimersByTimeAsync(3000);
      expect(await issue).toBeNull();
    } finally {
      jest.useRealTimers();
    }
  });

  it('by what the hosts file says, before anybody else is asked', async () => {
    const file = '127.0.0.1 localhost\r\n# 10.0.0.9 hooks.example.com\n10.0.0.7\tHooks.example.com other # note\n::7 hooks.example.com\n\n';
    expect(addressesIn(file, 'hooks.example.com')).toEqual(['10.0.0.7', '::7']);
    expect(addressesIn(file, 'example.com')).toEqual([]);
    expect(await resolveName('localhost')).toContain('127.0.0.1');
  });
});

describe('what is sent', () => {
  it('is the event as it is, with the headers of Standard Webhooks', async () => {
    const { url, received } = await receiver(ok);
    const before = Date.now();
    const outcome = await deliver(nearSender(), `${url}/hook/a%20b?x=1&y=%2F`);
    expect(outcome).toMatchObject({ responseCode: 204, error: null, responseBody: '', retryAfter: null });
    expect(outcome.startedAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(Number.isInteger(outcome.durationMs) && outcome.durationMs >= 0).toBe(true);
    const [{ headers, ...rest }] = received as [Received];
    expect(rest).toEqual({ method: 'POST', url: '/hook/a%20b?x=1&y=%2F', body: BODY });
    expect(headers).toEqual({
      host: url.slice('http://'.length),
      connection: 'keep-alive',
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(BODY)),
      'user-agent': `Latchkey/${VERSION}`,
      'webhook-id': 'evt_1',
      'webhook-timestamp': String(Math.floor(outcome.startedAt.getTime() / 1000)),
      'webhook-signature': expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
    });
  });

  it.each([
    ['standardwebhooks', StandardWebhook],
    ['svix', SvixWebhook],
  ])('verifies by the package %s, with either secret of a rotation, and not when it was changed', async (_, Webhook) => {
    const [newer, older, foreign] = [generateSecret(), generateSecret(), generateSecret()];
    const { url, received } = await receiver(ok);
    await deliver(nearSender(), url, [newer, older]);
    const [{ headers, body }] = received as [Received];
    const signed = headers as Record<string, string>;
    for (const known of [newer, older]) expect(new Webhook(known).verify(body, signed)).toEqual(JSON.parse(BODY));
    const seconds = Number(signed['webhook-timestamp']);
    const changed: [string, string, Record<string, string>][] = [
      [foreign, body, signed],
      [newer, body.replace('created', 'deleted'), signed],
      [newer, `${body} `, signed],
      [newer, body, { ...signed, 'webhook-id': 'evt_2' }],
      [newer, body, { ...signed, 'webhook-timestamp': String(seconds - 1) }],
      [newer, body, { ...signed, 'webhook-timestamp': String(seconds - 301) }],
      [newer, body, { ...signed, 'webhook-signature': signed['webhook-signature']!.split(' ')[1]!.replace('v1', 'v1a') }],
    ];
    for (const [known, text, sent] of changed) expect(() => new Webhook(known).verify(text, sent)).toThrow();
  });

  it('uses a connection again', async () => {
    const { url, received, connections } = await receiver(ok);
    const sender = nearSender();
    for (let count = 0; count < 5; count += 1) await deliver(sender, url);
    expect(received).toHaveLength(5);
    expect(connections()).toBeLessThan(3);
  });

  it('waits for no other URL of the same host, however slow that one is', async () => {
    const waiting: ServerResponse[] = [];
    const { url, received } = await receiver((request, response) => {
      if (request.url === '/slow') waiting.push(response);
      else response.end();
    });
    const sender = nearSender();
    const slow = Array.from({ length: 80 }, () => deliver(sender, `${url}/slow`));
    // As many as have connections; the others wait for these.
    await eventually(
      () => Promise.resolve(waiting.length),
      (count) => count === 50,
    );
    expect((await deliver(sender, `${url}/fast`)).responseCode).toBe(200);
    const answering = setInterval(() => {
      for (const response of waiting.splice(0)) response.end();
    }, 5);
    expect((await Promise.all(slow)).every(({ error }) => error === null)).toBe(true);
    clearInterval(answering);
    expect(received).toHaveLength(81);
  });
});

describe('an answer', () => {
  it.each([200, 201, 202, 204, 299])('of %d is success', async (status) => {
    const { url } = await receiver((_, response) => response.writeHead(status).end());
    expect(await deliver(nearSender(), url)).toMatchObject({ responseCode: status, error: null });
  });

  it.each([400, 401, 404, 410, 429, 500, 503])('of %d is none, and says when to come again', async (status) => {
    const { url } = await receiver((_, response) => response.writeHead(status, { 'retry-after': '120' }).end('no'));
    expect(await deliver(nearSender(), url)).toMatchObject({
      responseCode: status,
      error: `The answer was ${status}.`,
      responseBody: 'no',
      retryAfter: '120',
    });
  });

  it('without end is cut, and counts by its status', async () => {
    let sentBytes = 0;
    const isCut = new Promise<void>((resolve) => {
      void receiver((_, response) => {
        const write = (): void => {
          do sentBytes += 16_384;
          while (response.write(Buffer.alloc(16_384, 'x')));
        };
        response.on('drain', write).on('close', resolve);
        write();
      }).then(async ({ url }) => {
        const outcome = await deliver(nearSender(), url);
        expect(outcome).toMatchObject({ responseCode: 200, error: null, responseBody: 'x'.repeat(2048) });
      });
    });
    await isCut;
    // What the kernel buffers on the way is not read.
    expect(sentBytes).toBeLessThan(16 * 1024 * 1024);
  });

  it('is kept as text that PostgreSQL can store, whatever its bytes', async () => {
    let answer: Uint8Array = Buffer.alloc(0);
    const { url } = await receiver((_, response) => response.end(answer));
    const sender = nearSender();
    const anyText = fc
      .array(fc.integer({ min: 0, max: 0x10ffff }), { minLength: 1, maxLength: 20 })
      .map((codes) => String.fromCodePoint(...codes));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      anyText.map((text) => Buffer.from(text.repeat(1000))),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        answer = sent;
        const { responseBody, error } = await deliver(sender, url);
        expect(error).toBeNull();
        expect(responseBody!.isWellFormed() && !responseBody!.includes('\0') && responseBody!.length <= 2048).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('is kept without half a character at its end', async () => {
    const { url } = await receiver((_, response) => response.end(`a${'é'.repeat(2000)}`));
    expect((await deliver(nearSender(), url)).responseBody).toBe(`a${'é'.repeat(1023)}`);
  });

  it.each([
    ['that is no HTTP', 'SSH-2.0-OpenSSH_9.9\r\n', 'The answer is not HTTP.'],
    ['with headers without end', `HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(20_000)}`, 'The headers of the answer are too large.'],
    ['that is cut off', 'HTTP/1.1 200 OK\r\ncontent-', 'The connection was closed before an answer.'],
  ])('%s is none', async (_, text, error) => {
    const server = createListener((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.end(text));
    });
    const port = await listen(server);
    cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
    expect(await deliver(nearSender(), `http://127.0.0.1:${port}/`)).toMatchObject({ responseCode: null, error, responseBody: null });
  });
});

describe('a receiver is not waited for', () => {
  it('that takes a connection and no TLS', async () => {
    const { port, connections } = await silence();
    const outcome = await deliver(nearSender({ ...LIMITS, connectTimeoutMs: 100 }), `https://localhost:${port}/`);
    expect(outcome).toMatchObject({ responseCode: null, error: 'No connection in time.' });
    expect(connections()).toBe(1);
  });

  it('whose name is never told', async () => {
    const sender = nearSender({ ...LIMITS, connectTimeoutMs: 100 }, () => new Promise(() => undefined));
    expect(await deliver(sender, 'https://hooks.example.com/')).toMatchObject({ responseCode: null, error: 'No connection in time.' });
  });

  it('that does not answer', async () => {
    const { url } = await receiver(() => undefined);
    const outcome = await deliver(nearSender({ ...LIMITS, timeoutMs: 200 }), url);
    expect(outcome).toMatchObject({ responseCode: null, error: 'No answer in time.', responseBody: null });
  });

  it('that gives its headers drop by drop', async () => {
    const drops: NodeJS.Timeout[] = [];
    const server = createListener((socket) => {
      socket
        .on('error', () => undefined)
        .resume()
        .write('HTTP/1.1 200 OK\r\n');
      drops.push(setInterval(() => socket.write('x-a: b\r\n'), 20));
    });
    const port = await listen(server);
    cleanUps.push(() => {
      drops.forEach(clearInterval);
      return new Promise((resolve) => server.close(resolve));
    });
    const outcome = await deliver(nearSender({ ...LIMITS, timeoutMs: 300 }), `http://127.0.0.1:${port}/`);
    expect(outcome).toMatchObject({ responseCode: null, error: 'No answer in time.' });
  });

  it.each([
    ['falls silent in its answer', { ...LIMITS, bodyTimeoutMs: 150 }, false],
    ['gives its answer drop by drop', { ...LIMITS, timeoutMs: 300 }, true],
  ])('that %s; its status counts', async (_, limits, isDripping) => {
    const isCut: Promise<unknown>[] = [];
    const { url } = await receiver((_, response) => {
      response.write('begun');
      const drops = isDripping ? setInterval(() => response.write('.'), 20) : undefined;
      isCut.push(
        once(response, 'close').then(() => {
          clearInterval(drops);
        }),
      );
    });
    const outcome = await deliver(nearSender(limits), url);
    expect(outcome).toMatchObject({ responseCode: 200, error: null, responseBody: expect.stringMatching(/^begun\.*$/) });
    await Promise.all(isCut);
  });

  it('when the server stops', async () => {
    const { url, received } = await receiver(() => undefined);
    const sender = nearSender();
    const outcome = deliver(sender, url);
    await eventually(
      () => Promise.resolve(received.length),
      (count) => count === 1,
    );
    await sender.close();
    expect(await outcome).toMatchObject({ responseCode: null, error: 'The server was stopped.' });
    expect(await deliver(sender, url)).toMatchObject({ responseCode: null, error: 'The server was stopped.' });
    expect(received).toHaveLength(1);
  });
});

describe('a certificate', () => {
  const trusted = selfSigned('good.example.com');
  const expired = selfSigned('good.example.com', { days: 0.5 });
  const before = tls.getCACertificates('default');
  beforeAll(() => {
    tls.setDefaultCACertificates([...before, trusted.cert, expired.cert]);
  });
  afterAll(() => {
    tls.setDefaultCACertificates(before);
  });

  it.each([
    ['that is trusted, for the host', 'good.example.com', trusted, null],
    ['that nobody signed', 'good.example.com', selfSigned('good.example.com'), 'The TLS certificate is not trusted.'],
    ['for another host', 'other.example.com', trusted, 'The TLS certificate is for another host.'],
    ['that has expired', 'good.example.com', expired, 'The TLS certificate has expired.'],
  ])('%s', async (_, host, certificate, error) => {
    let requests = 0;
    const server = createSecureServer(certificate, (_, response) => {
      requests += 1;
      response.end();
    });
    const port = await listen(server);
    closing(server);
    const sender = nearSender(LIMITS, answering('127.0.0.1'));
    // Twice: a session that was begun is not what makes it trusted.
    for (let count = 0; count < 2; count += 1) expect((await deliver(sender, `https://${host}:${port}/`)).error).toBe(error);
    expect(requests).toBe(error === null ? 2 : 0);
  });
});

/** `fc.webUrl` takes seconds to begin. */
const anyUrl = fc
  .tuple(
    fc.constantFrom('https://', 'HTTPS://', 'http://', 'https:'),
    fc.string(),
    fc.constantFrom('', '@', '.com', '.com:8443'),
    fc.string(),
  )
  .map((parts) => parts.join(''));

it('whatever is sent, an outcome comes back, and it tells nothing of the network', async () => {
  const sender = senderFor(guardFor(answering('10.9.8.7')));
  const url = fc.oneof(
    anyUrl,
    fc.string(),
    fc.ipV4().map((ip) => `https://${ip}/`),
    fc.string().map((text) => `https://${text}.example/`),
  );
  await fc.assert(
    fc.asyncProperty(url, fc.array(fc.oneof(fc.string(), fc.constant(secret))), fc.string(), async (url, secrets, eventId) => {
      if (url.startsWith('https://') && /^https:\/\/\d/.test(url)) return;
      const outcome = await sender.send({ url, secrets, eventId, body: BODY });
      expect(outcome.responseCode).toBeNull();
      expect(outcome.error).toMatch(/^[A-Z].*\.$/);
      expect(outcome.error).not.toMatch(/10\.9|ECONN|node:|undici/);
    }),
    { numRuns: 60 },
  );
});
