import { connect } from 'node:net';

/** Longer than any answer takes. */
const TIMEOUT_MS = 30_000;
const HEAD_END = '\r\n\r\n';
const NOTHING = Buffer.alloc(0);

/**
 * A connection that asks one question after the other, each when the one before is answered, until `isOver()`; resolves
 * after its last answer. By hand, because on a machine with two cores what asks takes from what is asked: a whole HTTP
 * client needs as much CPU time as the fastest of the servers. Answers must have a Content-Length.
 * @param onAnswer gets the status, the body, and how many milliseconds it took
 * @param onFailure gets why there was no answer; there are no further questions then
 */
export function askOver({ hostname, port, host }, next, { isOver, onAnswer, onFailure }) {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let received = NOTHING;
    let askedAt = 0;
    let isDone = false;
    const end = () => {
      isDone = true;
      socket.destroy();
      resolve();
    };
    const fail = (reason) => {
      if (isDone) return;
      onFailure(reason);
      end();
    };
    const ask = () => {
      if (isOver()) return end();
      askedAt = performance.now();
      socket.write(requestOf(host, next()));
    };
    socket.on('connect', ask);
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const answer = answerIn(received, fail);
      if (answer === null) return;
      received = NOTHING;
      onAnswer(answer.status, answer.body, performance.now() - askedAt);
      ask();
    });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('the connection was closed'));
    socket.setTimeout(TIMEOUT_MS, () => fail(`no answer within ${TIMEOUT_MS / 1000} s`));
  });
}

function requestOf(host, { method = 'POST', path, headers = {}, body = '' }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines.join('')}content-length: ${Buffer.byteLength(body)}${HEAD_END}${body}`;
}

/** Null when it is not complete yet. */
function answerIn(received, fail) {
  const headEnd = received.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const head = received.latin1Slice(0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) {
    fail(`an answer without Content-Length: ${head}`);
    return null;
  }
  const bodyStart = headEnd + HEAD_END.length;
  const bodyEnd = bodyStart + Number(length);
  return received.length < bodyEnd ? null : { status: Number(head.slice(9, 12)), body: received.utf8Slice(bodyStart, bodyEnd) };
}
