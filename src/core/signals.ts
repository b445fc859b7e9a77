import { randomUUID } from 'node:crypto';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from './database.js';
import type { Listener } from './listener.js';
import { LOGGER } from './logger.js';

/**
 * - `events`: events were committed, and wait in the outbox.
 * - `feed`: events have got their positions, and their deliveries are due.
 * - `deliveries`: deliveries are due that are nothing new: a retry, a replay, an endpoint that is enabled again.
 * - `interests`: who listens to events that are only made when somebody does has changed.
 */
const SIGNALS = ['events', 'feed', 'deliveries', 'interests'] as const;
export type Signal = (typeof SIGNALS)[number];

const CHANNEL = 'latchkey';
/** So many signals of a process become one message: the database passes on one after the other. */
const GATHERED_MS = 10;

/**
 * Wakes whoever waits for something, in this process at once and in all others within milliseconds. A signal says nothing but
 * "look": it may come without a reason, or be lost with a connection, so everybody who waits also looks by themselves from
 * time to time. Never sent inside of a transaction: NOTIFY takes a lock of all databases at its commit.
 */
@Injectable()
export class Signals implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly waiting = new Map<Signal, Set<() => void>>(SIGNALS.map((signal) => [signal, new Set()]));
  private readonly gathered = new Set<Signal>();
  private readonly listener: Listener;
  /** Of this process, which does not hear itself. */
  private readonly sender = randomUUID();
  private timer?: NodeJS.Timeout;
  private sending: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.listener = database.listener(CHANNEL, (message) => {
      this.hear(message);
    });
    database.whenEventsAreKept(() => {
      this.send('events');
    });
  }

  onApplicationBootstrap(): void {
    this.listener.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener.stop();
    clearTimeout(this.timer);
    this.tell();
    await this.sending;
  }

  /** Call `woken` at each signal, until the answer is called. */
  on(signal: Signal, woken: () => void): () => void {
    const all = this.waiting.get(signal);
    all?.add(woken);
    return () => all?.delete(woken);
  }

  send(signal: Signal): void {
    this.wake(signal);
    this.gathered.add(signal);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.tell();
    }, GATHERED_MS).unref();
  }

  private tell(): void {
    if (this.gathered.size === 0) return;
    const message = [this.sender, ...this.gathered].join(' ');
    this.gathered.clear();
    this.sending = this.database.notify(CHANNEL, message).catch((error: unknown) => {
      this.logger.debug({ err: error }, 'others could not be woken; they look by themselves');
    });
  }

  /** Null = any may have been missed. */
  private hear(message: string | null): void {
    const [sender, ...signals] = message?.split(' ') ?? [null, ...SIGNALS];
    if (sender === this.sender) return;
    for (const signal of SIGNALS) if (signals.includes(signal)) this.wake(signal);
  }

  private wake(signal: Signal): void {
    for (const woken of this.waiting.get(signal) ?? []) woken();
  }
}
