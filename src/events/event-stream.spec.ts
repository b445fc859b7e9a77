import { describe, expect, it } from '@jest/globals';
import type { Admitted } from '../auth/standing.js';
import { EventStream, type Sources } from './event-stream.js';
import type { Line, StreamedEvent } from './stream-line.js';

const eventAt = (position: number): StreamedEvent =>
  ({ position: BigInt(position), row: { type: 'license.created', resourceId: 'x', segmentId: null } }) as unknown as StreamedEvent;

/** A stream whose sources are at hand: what the feed offers comes in whatever order the test says. */
async function opened(from: number | null, { joinsAt, backlog = [] }: { joinsAt: number; backlog?: number[] }) {
  const told: number[] = [];
  let letRead: () => void = () => undefined;
  const mayRead = new Promise<void>((resolve) => (letRead = resolve));
  const sources = {
    feed: { join: () => Promise.resolve(BigInt(joinsAt)), leave: () => undefined },
    backlog: {
      read: async (_: unknown, { until }: { until: bigint }) => {
        await mayRead;
        return { events: backlog.map(eventAt), until };
      },
    },
  } as unknown as Sources;
  const line = { tell: ({ position }: StreamedEvent) => told.push(Number(position)), waitingBytes: 0, ended: new Promise(() => undefined) };
  const stream = new EventStream({ caller: { tenant: { segmentId: null } } } as Admitted, ['*'], sources);
  await stream.begin(from === null ? null : BigInt(from), () => Promise.resolve(line as unknown as Line));
  return {
    stream,
    told,
    letRead,
    offer: (...positions: number[]) => {
      positions.forEach((position) => {
        stream.offer(eventAt(position));
      });
    },
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a stream', () => {
  it('is told of no event again that another server told it of before this one had read it', async () => {
    const { told, offer } = await opened(5, { joinsAt: 3 });
    await settled();
    offer(4, 5, 6);
    expect(told).toEqual([6]);
  });

  it('is told of what comes while it reads for itself behind what it reads, and of each once', async () => {
    const { told, offer, letRead } = await opened(1, { joinsAt: 4, backlog: [2, 4] });
    offer(3, 4, 5, 7);
    letRead();
    await settled();
    offer(8);
    expect(told).toEqual([2, 4, 5, 7, 8]);
  });

  it('that names no event begins where it joins', async () => {
    const { told, offer } = await opened(null, { joinsAt: 3 });
    offer(4);
    await settled();
    offer(5);
    expect(told).toEqual([4, 5]);
  });
});
