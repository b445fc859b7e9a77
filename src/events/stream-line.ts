import { type Ending, type Frame, toMessage, toSse } from '../domain/event-stream.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Event } from '../generated/prisma/client.js';
import { toEventView } from './events.dto.js';

/** How long the end of a stream may take: afterwards the connection is cut, read or not. */
export const END_GRACE_MS = 500;

/** A connection over which a stream is told. */
export interface Line {
  tell(event: StreamedEvent): void;
  say(frame: Frame): void;
  /** A sign of life; ends the line where the other side gives none. */
  beat(): void;
  /** What waits in this process for its reader. */
  readonly waitingBytes: number;
  /** Resolves when nothing waits any more, or the line has ended. */
  drained(): Promise<void>;
  /** Last words, and the end: soon, whether or not anybody reads them. */
  end(ending: Ending): void;
  /** Resolves when the line has ended, whoever ended it. */
  readonly ended: Promise<void>;
}

/** An event on its way to all who are told of it: written once in each form. */
export class StreamedEvent {
  private sse?: Buffer;
  private message?: Buffer;

  constructor(
    readonly position: bigint,
    readonly row: Event,
    private readonly environment: EnvironmentName,
  ) {}

  asSse(): Buffer {
    return (this.sse ??= Buffer.from(toSse(this.frame())));
  }

  asMessage(): Buffer {
    return (this.message ??= Buffer.from(toMessage(this.frame())));
  }

  private frame(): Frame {
    return { id: this.row.id, event: this.row.type, data: toEventView(this.row, this.environment) };
  }
}
