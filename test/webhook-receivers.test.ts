import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateSecret, sign } from '../src/domain/webhook-signature.js';
import { AddressGuard } from '../src/webhooks/address-guard.js';
import { WebhookSender } from '../src/webhooks/sender.js';
import { eventually } from './support/eventually.js';

/** The receivers that docs/webhooks.md hands to vendors run as they are, and take what is ours and nothing else. */

const python = pythonCommand();
const receivers = [
  { name: 'receiver.ts', command: process.execPath, isRunnable: Boolean(process.features.typescript), needs: 'Node 22.18 or newer' },
  { name: 'receiver.py', command: python ?? '', isRunnable: python !== null, needs: 'Python 3.8 or newer' },
];

/** Its command, where there is one that is new enough. */
function pythonCommand(): string | null {
  try {
    execFileSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'], { stdio: 'ignore' });
    return 'python3';
  } catch {
    return null;
  }
}

for (const { name, command, isRunnable, needs } of receivers) {
  if (!isRunnable) process.stdout.write(`docs/receivers/${name} is not tested here: there is no ${needs}.\n`);

  (isRunnable ? describe : describe.skip)(name, () => {
    const secret = generateSecret();
    const lines: string[] = [];
    const sender = new WebhookSender(new AddressGuard({ webhookAllowLoopback: true }));
    let child: ChildProcess;
    let url: string;

    beforeAll(async () => {
      const file = fileURLToPath(new URL(`../docs/receivers/${name}`, import.meta.url));
      const env = { PATH: process.env.PATH ?? '', PORT: '0', WEBHOOK_SECRET: secret };
      child = spawn(command, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
      createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
      const [first] = await eventually(
        () => Promise.resolve(lines),
        (said) => said.length > 0,
      );
      url = `http://127.0.0.1:${/^listening on (\d+)$/.exec(first!)![1]!}/`;
      lines.length = 0;
    });

    afterAll(async () => {
      await sender.close();
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    });

    const bodyOf = (id: string): string => JSON.stringify({ id, type: 'license.created', data: { object: { name: 'Größe ☃', seats: 5 } } });
    const deliver = async (id: string, secrets = [secret]): Promise<number | null> =>
      (await sender.send({ url, secrets, eventId: id, body: bodyOf(id) })).responseCode;
    /** A request by somebody else, signed as said. */
    const post = async (id: string, body: string, agedSeconds = 0, signedBody = body, signedId = id): Promise<number> => {
      const timestamp = Math.floor(Date.now() / 1000) - agedSeconds;
      const headers = {
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign([secret], signedId, timestamp, signedBody),
      };
      return (await fetch(url, { method: 'POST', body, headers })).status;
    };
    const handled = (id: string): Promise<string[]> =>
      eventually(
        () => Promise.resolve(lines.filter((line) => line.includes(id))),
        (said) => said.length > 0,
      );

    it('handles what was sent to it, also while its secret is rotated', async () => {
      expect(await deliver('evt_good')).toBe(204);
      expect(await deliver('evt_new_first', [generateSecret(), secret])).toBe(204);
      expect(await deliver('evt_old_last', [secret, generateSecret()])).toBe(204);
      expect(await handled('evt_good')).toEqual(['handled evt_good license.created']);
      expect(await handled('evt_old_last')).toEqual(['handled evt_old_last license.created']);
    });

    it('handles what comes again once', async () => {
      for (let count = 0; count < 3; count += 1) expect(await deliver('evt_again')).toBe(204);
      const said = await eventually(
        () => Promise.resolve(lines.filter((line) => line.includes('evt_again'))),
        (found) => found.length === 3,
      );
      expect(said).toEqual(['handled evt_again license.created', 'repeated evt_again', 'repeated evt_again']);
    });

    it('refuses what another secret signed, what was changed, and what is old or of the future', async () => {
      expect(await deliver('evt_bad_secret', [generateSecret()])).toBe(401);
      expect(await post('evt_bad_body', bodyOf('evt_bad_body'), 0, bodyOf('evt_other'))).toBe(401);
      expect(await post('evt_bad_id', bodyOf('evt_bad_id'), 0, bodyOf('evt_bad_id'), 'evt_other')).toBe(401);
      expect(await post('evt_bad_age', bodyOf('evt_bad_age'), 301)).toBe(401);
      expect(await post('evt_bad_age', bodyOf('evt_bad_age'), -310)).toBe(401);
      expect((await fetch(url, { method: 'POST', body: bodyOf('evt_bad_bare') })).status).toBe(401);
      // The same by hand is taken where nothing is wrong with it; and after it, all lines are there.
      expect(await post('evt_by_hand', bodyOf('evt_by_hand'), 290)).toBe(204);
      await handled('evt_by_hand');
      expect(lines.filter((line) => line.includes('evt_bad'))).toEqual([]);
    });
  });
}
