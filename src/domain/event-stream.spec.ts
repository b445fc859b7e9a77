import { describe, expect, it } from '@jest/globals';
import { closeCodeOf, closedFrame, patternListIssue, patternsOf, resetFrame, toMessage, toSse } from './event-stream.js';

describe('a frame', () => {
  const frame = { id: 'abc', event: 'license.created', data: { name: 'two\nlines\r\u2028' } };

  it('is one id, one type and one line of data, ended by an empty line', () => {
    expect(toSse(frame)).toBe('id: abc\nevent: license.created\ndata: {"name":"two\\nlines\\r\u2028"}\n\n');
  });

  it('that is about the stream has no id: what the client remembers stays', () => {
    expect(toSse(resetFrame('x'))).toBe('event: reset\ndata: {"lastEventId":"x"}\n\n');
    expect(toSse(closedFrame('TOO_SLOW'))).toBe('event: closed\ndata: {"reason":"TOO_SLOW"}\n\n');
  });

  it('is the same as a message', () => {
    expect(JSON.parse(toMessage(frame))).toEqual(frame);
    expect(JSON.parse(toMessage(resetFrame('x')))).toEqual({ id: null, event: 'reset', data: { lastEventId: 'x' } });
  });
});

describe('types', () => {
  it.each([
    [undefined, ['*']],
    ['license.*', ['license.*']],
    ['license.created, machine.*', ['license.created', 'machine.*']],
  ])('%j are %j', (list, patterns) => {
    expect(patternsOf(list)).toEqual(patterns);
  });

  it.each([
    ['*', true],
    ['license.created,validation.*', true],
    ['license.created,', false],
    ['', false],
    ['licence.created', false],
    ['license', false],
    ['*.created', false],
  ])('%j may be asked for: %s', (list, isRight) => {
    expect(patternListIssue(list) === null).toBe(isRight);
  });
});

it.each([
  ['SERVER_STOPPING', null, 1001],
  ['TOO_SLOW', null, 1013],
  ['UNAVAILABLE', null, 1013],
  ['API_KEY_REVOKED', 401, 4401],
  ['INSUFFICIENT_SCOPE', 403, 4403],
])('a WebSocket that ends with %s %s is closed with %s', (reason, status, code) => {
  expect(closeCodeOf({ reason, status })).toBe(code);
});
