import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as OTLP has it in JSON, its attributes by name. */
export interface SpanSeen {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  /** 2 = server, 3 = client, 4 = producer. */
  kind: number;
  attributes: Record<string, string | number | boolean>;
  /** 2 = error. */
  status: { code?: number };
}

interface Attribute {
  key: string;
  value: Record<string, string | number | boolean>;
}

interface Sent {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { spans: (Omit<SpanSeen, 'attributes'> & { attributes: Attribute[] })[] }[];
  }[];
}

/** An OpenTelemetry collector on loopback, for traces by OTLP over HTTP in JSON. */
export class Collector {
  /** Everything that was sent, as it came. */
  readonly bodies: string[] = [];
  readonly paths = new Set<string>();
  private readonly unanswered: ServerResponse[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start({ answers }: { answers: boolean }): Promise<Collector> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const collector = new Collector(server, `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        collector.paths.add(`${request.method ?? ''} ${request.url ?? ''}`);
        collector.bodies.push(Buffer.concat(chunks).toString('utf8'));
        if (answers) response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
        else collector.unanswered.push(response);
      });
    });
    return collector;
  }

  get spans(): SpanSeen[] {
    return this.sent
      .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
      .map((span) => ({ ...span, attributes: byName(span.attributes) }));
  }

  get resources(): Record<string, unknown>[] {
    return this.sent.map(({ resource }) => byName(resource.attributes));
  }

  /** What was not answered is refused for good, so that nobody tries it again. */
  async stop(): Promise<void> {
    for (const response of this.unanswered) response.writeHead(400).end();
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeIdleConnections();
    await closed;
  }

  private get sent(): Sent['resourceSpans'] {
    return this.bodies.flatMap((body) => (JSON.parse(body) as Sent).resourceSpans);
  }
}

function byName(attributes: readonly Attribute[]): SpanSeen['attributes'] {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0] ?? '']));
}
