import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { closeCodeOf, type Ending, type Frame, toMessage } from '../domain/event-stream.js';
import { END_GRACE_MS, type Line, type StreamedEvent } from './stream-line.js';

/** The same over a WebSocket (RFC 6455): a message a frame. */
export class WsLine implements Line {
  readonly ended: Promise<void>;
  private isAlive = true;

  constructor(
    private readonly webSocket: WebSocket,
    private readonly socket: Socket,
  ) {
    this.ended = new Promise((resolve) => {
      if (webSocket.readyState === webSocket.CLOSED) resolve();
      else
        webSocket.once('close', () => {
          resolve();
        });
    });
    webSocket.on('pong', () => {
      this.isAlive = true;
    });
    // A frame that breaks the protocol, or a message that is too long: the library closes it, and says why.
    webSocket.on('error', () => undefined);
  }

  get waitingBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  tell(event: StreamedEvent): void {
    this.write(event.asMessage());
  }

  say(frame: Frame): void {
    this.write(toMessage(frame));
  }

  beat(): void {
    if (!this.isAlive) this.webSocket.terminate();
    this.isAlive = false;
    if (this.webSocket.readyState === this.webSocket.OPEN) this.webSocket.ping();
  }

  drained(): Promise<void> {
    if (!this.socket.writableNeedDrain) return Promise.resolve();
    return Promise.race([this.ended, new Promise<void>((resolve) => this.socket.once('drain', resolve))]);
  }

  end(ending: Ending): void {
    this.webSocket.close(closeCodeOf(ending), ending.reason);
    const cut = setTimeout(() => {
      this.webSocket.terminate();
    }, END_GRACE_MS);
    void this.ended.then(() => {
      clearTimeout(cut);
    });
  }

  private write(message: Buffer | string): void {
    // Dropped by the library once it is closing.
    if (this.webSocket.readyState === this.webSocket.OPEN) this.webSocket.send(message, { binary: false });
  }
}
