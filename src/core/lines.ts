import type { Response } from 'express';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export const NDJSON = 'application/x-ndjson';

/**
 * Answer with lines as they come, no faster than the client reads. What fails before the first line is answered like any
 * error; later the connection is cut, so that nobody takes a part for the whole. A client that goes away ends the work.
 */
export async function sendLines(response: Response, lines: AsyncGenerator<string>): Promise<void> {
  const first = await lines.next();
  response.status(200).type(NDJSON);
  const all = async function* (): AsyncGenerator<string> {
    if (first.done !== true) yield first.value;
    yield* lines;
  };
  try {
    await pipeline(Readable.from(all()), response);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
