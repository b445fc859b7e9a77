import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that came in. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  // A test looks at what it expects to find.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  event: any;
  /** Whether it has been answered. */
  isAnswered: boolean;
}

/** What a path answers; a promise is waited for. */
export type Answer = { status: number; headers?: Record<string, string> };
type Answering = (received: Received) => Answer | Promise<Answer>;

/** An application on loopback that webhooks are sent to: each path is an endpoint of its own. */
export class Receiver {
  /** In the order in which they came. */
  readonly received: Received[] = [];
  private readonly answers = new Map<string, Answering>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Receiver> {
    const receiver = new Receiver(
      createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const received = { path: request.url ?? '', headers: request.headers, text, event: JSON.parse(text), isAnswered: false };
          receiver.received.push(received);
          void receiver.answer(received).then(({ status, headers }) => {
            received.isAnswered = true;
            response.writeHead(status, headers).end('thanks');
          });
        });
      }),
    );
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  /** What is not told to answer otherwise answers 200. */
  url(path: string, answering?: Answering): string {
    if (answering !== undefined) this.answers.set(path, answering);
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}${path}`;
  }

  at(path: string): Received[] {
    return this.received.filter((received) => received.path === path);
  }

  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(received: Received): Promise<Answer> {
    return (await this.answers.get(received.path)?.(received)) ?? { status: 200 };
  }
}

/** For endpoints that do not answer until the test says so. */
export function gate<T>(): { opened: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => undefined;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
