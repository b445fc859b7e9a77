import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../support/webhook-receiver.js', import.meta.url));
/** Nothing new for so long, and it is not coming. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 20;

/** The receiver of bench/support/webhook-receiver.js as a process. */
export class Receivers {
  #child;
  #told = { count: 0, wrong: 0, lastAt: 0 };
  #arrivals = [];

  static async start(cleanup) {
    const receivers = new Receivers();
    receivers.#child = fork(PROGRAM);
    cleanup.add(() => receivers.#child.kill());
    const [{ port }] = await once(receivers.#child, 'message');
    receivers.origin = `http://127.0.0.1:${port}`;
    receivers.#child.on('message', ({ arrivals, ...told }) => {
      receivers.#told = told;
      receivers.#arrivals.push(...arrivals);
    });
    return receivers;
  }

  /** What everything from now on is signed with. */
  expect(secret) {
    this.#child.send({ secret, forget: true });
    this.#arrivals = [];
    this.#told = { count: 0, wrong: 0, lastAt: 0 };
  }

  /** Once so many different events have come; answers when the last one did, in milliseconds since 1970. */
  async until(count) {
    for (let [before, since] = [-1, performance.now()]; ;) {
      const { count: found, wrong, lastAt } = this.#told;
      if (wrong > 0) throw new Error(`${wrong} deliveries were signed wrongly.`);
      if (found >= count) return lastAt;
      if (found > before) [before, since] = [found, performance.now()];
      else if (performance.now() - since > PATIENCE_MS) throw new Error(`Only ${found} of ${count} events have come.`);
      await wait(LOOK_MS);
    }
  }

  /** When this object was told of, in milliseconds since 1970. */
  async arrivalOf(name) {
    for (const since = performance.now(); ; await wait(LOOK_MS)) {
      const found = this.#arrivals.find((arrival) => arrival.name === name);
      if (found !== undefined) return found.at;
      if (performance.now() - since > PATIENCE_MS) throw new Error(`The event about ${name} has not come.`);
    }
  }
}
