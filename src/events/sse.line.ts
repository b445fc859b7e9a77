import type { Request, Response } from 'express';
import { closedFrame, type Ending, type Frame, RETRY_MS, toSse } from '../domain/event-stream.js';
import { END_GRACE_MS, type Line, type StreamedEvent } from './stream-line.js';

export const EVENT_STREAM_TYPE = 'text/event-stream';

const HEADERS = {
  'Content-Type': EVENT_STREAM_TYPE,
  'Cache-Control': 'no-cache, no-store, no-transform',
  // So that nginx passes on each event as it comes.
  'X-Accel-Buffering': 'no',
  // Nothing comes after it: whoever stops the server waits for no idle connection.
  Connection: 'close',
};
const BEAT = Buffer.from(': heartbeat\n\n');

/** Server-sent events (WHATWG HTML, "Server-sent events"). */
export class SseLine implements Line {
  readonly ended: Promise<void>;

  private constructor(private readonly response: Response) {
    this.ended = new Promise((resolve) => {
      if (response.closed || response.destroyed) resolve();
      else response.once('close', resolve);
    });
  }

  static open(request: Request, response: Response): SseLine {
    const line = new SseLine(response);
    // Whoever is gone takes no headers either.
    if (!response.destroyed) response.writeHead(200, HEADERS);
    // Who asks for the head alone gets that.
    if (request.method === 'HEAD') response.end();
    else response.write(`retry: ${RETRY_MS}\n\n`);
    return line;
  }

  get waitingBytes(): number {
    return this.response.writableLength;
  }

  tell(event: StreamedEvent): void {
    this.write(event.asSse());
  }

  say(frame: Frame): void {
    this.write(toSse(frame));
  }

  beat(): void {
    this.write(BEAT);
  }

  drained(): Promise<void> {
    if (!this.response.writableNeedDrain) return Promise.resolve();
    return Promise.race([this.ended, new Promise<void>((resolve) => this.response.once('drain', resolve))]);
  }

  end({ reason }: Ending): void {
    if (this.response.writableEnded) return;
    this.response.end(toSse(closedFrame(reason)));
    const cut = setTimeout(() => this.response.destroy(), END_GRACE_MS);
    void this.ended.then(() => {
      clearTimeout(cut);
    });
  }

  private write(chunk: Buffer | string): void {
    if (!this.response.writableEnded && !this.response.destroyed) this.response.write(chunk);
  }
}
