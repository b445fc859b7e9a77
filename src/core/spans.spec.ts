import { describe, expect, it } from '@jest/globals';
import { LatchkeyError, notFound } from '../domain/errors.js';
import { Grouped } from './grouped.js';
import { activeSpans, asStep, currentTraceparent, inSpans, type Span, type Step, traceFields } from './spans.js';

/** Notes what becomes of it and of what is begun within. */
class NotedSpan implements Span {
  readonly begun: NotedSpan[] = [];
  failure?: string;
  ends = 0;

  constructor(
    readonly traceId: string,
    readonly name = 'request',
  ) {}

  get traceparent(): string {
    return `${this.traceId} ${this.name}`;
  }

  begin({ name }: Step): Span {
    const span = new NotedSpan(this.traceId, name);
    this.begun.push(span);
    return span;
  }

  note(): void {
    // What is said is the exporter's to keep.
  }

  fail(kind: string): void {
    this.failure = kind;
  }

  end(): void {
    this.ends += 1;
  }
}

const step = (name: string): Step => ({ name, kind: 'client', attributes: {} });
const GROUPS = { runs: 1, size: 10, waiting: 10, waitMs: 1000 };

describe('a step of what is in hand', () => {
  it('is just the work where nothing is traced', async () => {
    expect(await asStep(step('read'), () => Promise.resolve([activeSpans(), currentTraceparent(), traceFields()]))).toEqual([
      [],
      undefined,
      {},
    ]);
  });

  it('is within the step around it, and ends with its work', async () => {
    const request = new NotedSpan('a');
    const seen = await inSpans([request], () =>
      asStep(step('transaction'), () => asStep(step('read'), () => Promise.resolve(currentTraceparent()))),
    );
    expect(seen).toBe('a read');
    const [transaction] = request.begun;
    expect(transaction).toMatchObject({ name: 'transaction', ends: 1, failure: undefined });
    expect(transaction?.begun).toMatchObject([{ name: 'read', ends: 1 }]);
    expect(request.ends).toBe(0);
  });

  it.each([
    ['a refusal is an answer', notFound('license'), undefined],
    ['an outage is told by its code', new LatchkeyError('UNAVAILABLE', 'key ABC'), 'UNAVAILABLE'],
    ['what a library throws by its code', Object.assign(new Error('key ABC'), { code: '23505' }), '23505'],
    ['what has none by its kind', new TypeError('key ABC'), 'TypeError'],
    ['anything else as an error', 'key ABC', 'Error'],
  ])('says what went wrong in a word: %s', async (_what, error, failure) => {
    const request = new NotedSpan('a');
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- some libraries do
    const failing = inSpans([request], () => asStep(step('read'), () => Promise.reject(error)));
    await expect(failing).rejects.toBe(error);
    expect(request.begun).toMatchObject([{ failure, ends: 1 }]);
  });
});

describe('what is done for several together', () => {
  it('is a step of each who waits for it, and of nobody else', async () => {
    const requests = [new NotedSpan('a'), new NotedSpan('b')];
    const groups = new Grouped<number, string | undefined>(
      (items) => asStep(step('write'), () => Promise.resolve(items.map(() => currentTraceparent()))),
      GROUPS,
    );
    const asked = requests.map((request, item) => inSpans([request], () => groups.do(item)));
    // Whose row it would be, nobody can say.
    expect(await Promise.all(asked)).toEqual([undefined, undefined]);
    for (const request of requests) expect(request.begun).toMatchObject([{ name: 'write', ends: 1 }]);
    const [first] = requests;
    // Begun by one who is traced, done for one who is not.
    await inSpans([first!], () => Promise.all([inSpans([], () => groups.do(3))]));
    expect(first!.begun).toHaveLength(1);
  });
});
