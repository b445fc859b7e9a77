import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import type { SpanAttributes } from './spans.js';
import { type Tracer, Tracing } from './tracing.js';

interface Told {
  name?: string;
  attributes: SpanAttributes;
  failure?: string;
  hasEnded: boolean;
}

/** Answers what is told of a request to `path` that is answered with `status`; null = nothing. */
function toldOf(path: string, status: number, { isKept = true, headers = {} } = {}): Told | null {
  let told: Told | null = null;
  const tracer: Tracer = {
    begin: ({ name, attributes }) => {
      if (!isKept) return null;
      const span: Told = { name, attributes, hasEnded: false };
      told = span;
      return {
        traceId: 'a',
        traceparent: 'a',
        begin: () => {
          throw new Error('nothing is begun within');
        },
        note: (known) => {
          span.name = known.name ?? span.name;
          span.attributes = { ...span.attributes, ...known.attributes };
        },
        fail: (kind) => {
          span.failure = kind;
        },
        end: () => {
          if (span.hasEnded) throw new Error('ended twice');
          span.hasEnded = true;
        },
      };
    },
    stop: () => Promise.resolve(),
  };
  const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: path, headers });
  const response = new ServerResponse(request);
  let wasHeard = false;
  new Tracing(tracer).before(() => {
    wasHeard = true;
    response.statusCode = status;
  })(request, response);
  response.emit('close');
  request.socket.emit('close');
  expect(wasHeard).toBe(true);
  return told;
}

describe('the trace of a request', () => {
  it.each([
    [200, undefined],
    [404, undefined],
    [499, undefined],
    [500, '500'],
    [503, '503'],
  ])('is a failure from 500 on: %s', (status, failure) => {
    const told = toldOf('/api/v1/licenses', status);
    expect(told).toMatchObject({ name: 'GET', attributes: { 'http.response.status_code': status }, hasEnded: true });
    expect(told?.failure).toBe(failure);
  });

  it.each(['/health', '/health/live', '/health/ready?x=1', '/metrics'])(
    'is not made for whoever looks whether the server lives: %s',
    (path) => {
      expect(toldOf(path, 200)).toBeNull();
    },
  );

  it.each(['/healthy', '/', '/api/v1/metrics'])('is made for everything else: %s', (path) => {
    expect(toldOf(path, 200)).not.toBeNull();
  });

  it('is none where it is not kept', () => {
    expect(toldOf('/api/v1/licenses', 200, { isKept: false })).toBeNull();
  });

  it('ends once, also where another protocol was asked for and the connection goes on', () => {
    expect(toldOf('/api/v1/licenses', 200, { headers: { upgrade: 'h2c' } })).toMatchObject({ hasEnded: true });
  });

  it('does not stand between a server and its listener where nothing is traced', () => {
    const listener = (): void => undefined;
    expect(Tracing.off.before(listener)).toBe(listener);
  });
});
