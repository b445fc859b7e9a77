import { ApiError, LatchkeyError } from './errors.js';
import { type Clock, LONGEST_WAIT_MS } from './transport.js';
import type { Machine } from './types.js';

export interface HeartbeatOptions {
  /** Used where the server names no next beat; default 600,000. */
  intervalMs?: number;
  onBeat?: (machine: Machine) => void;
  /** A beat failed, and the loop goes on: the server was away, or the license is suspended. */
  onError?: (error: Error) => void;
  /** The machine has lost its seat (`MACHINE_DEAD`, `NOT_FOUND`, `not_activated`), and the loop has ended: activate again. */
  onLost?: (error: LatchkeyError) => void;
}

const TEN_MINUTES_MS = 600_000;
/** No beats are closer together, whatever the server says. */
const SHORTEST_MS = 1000;
const LOST = ['MACHINE_DEAD', 'NOT_FOUND', 'not_activated'];

/**
 * Beats in the middle of the time that the server leaves, ± a fifth of it: so that one lost beat costs nothing, and the
 * machines of a customer that start together do not beat together.
 */
export class Heartbeats {
  private readonly controller = new AbortController();

  constructor(
    private readonly beat: (signal: AbortSignal) => Promise<Machine>,
    private readonly settings: { clock: Clock; random: () => number },
    private readonly options: HeartbeatOptions,
  ) {}

  start(): void {
    void this.run(this.controller.signal);
  }

  /** No beat begins and no callback is called afterwards. */
  stop(): void {
    this.controller.abort();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { intervalMs = TEN_MINUTES_MS, onBeat, onError, onLost } = this.options;
    let leftMs = intervalMs;
    const isStopped = (): boolean => signal.aborted;
    while (!isStopped()) {
      try {
        const machine = await this.beat(signal);
        if (isStopped()) return;
        leftMs = intervalOf(machine) ?? intervalMs;
        tell(onBeat, machine);
      } catch (error) {
        if (isStopped()) return;
        if (error instanceof LatchkeyError && LOST.includes(error.code)) {
          this.stop();
          tell(onLost, error);
          return;
        }
        // What is left gets shorter with each failure, and the next beat comes the sooner.
        leftMs = Math.max(leftMs / 2, error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0);
        tell(onError, error instanceof Error ? error : new LatchkeyError('unknown', String(error)));
      }
      const delayMs = Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_MS, leftMs * (0.4 + 0.2 * this.settings.random())));
      await this.settings.clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }
}

/** A bug of the app in its callback is shown, and is no failed beat. */
function tell<T>(callback: ((value: T) => unknown) | undefined, value: T): void {
  new Promise((resolve) => {
    resolve(callback?.(value));
  }).catch((error: unknown) => {
    console.error('A callback of startHeartbeat failed:', error);
  });
}

/** By the server's own clock: the local one may be wrong. */
function intervalOf({ lastHeartbeatAt, nextHeartbeatAt }: Machine): number | null {
  if (nextHeartbeatAt === null || lastHeartbeatAt === null) return null;
  const intervalMs = Date.parse(nextHeartbeatAt) - Date.parse(lastHeartbeatAt);
  return intervalMs > 0 ? intervalMs : null;
}
