import { Inject, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import { requireOrigin } from '../auth/cors.js';
import { readHints } from '../auth/credentials.js';
import type { VendorPrincipal } from '../auth/principal.js';
import { Config } from '../core/config.js';
import { Interests } from '../core/interests.js';
import { LOGGER } from '../core/logger.js';
import { currentRequest } from '../core/request-context.js';
import { Upgrades } from '../core/upgrades.js';
import { patternsOf, resetFrame } from '../domain/event-stream.js';
import { highVolumeTypesOf } from '../domain/events.js';
import type { Scope } from '../domain/scopes.js';
import { EventStream } from './event-stream.js';
import { FeedReader } from './feed-reader.js';
import { SseLine } from './sse.line.js';
import { StreamBacklog } from './stream-backlog.js';
import type { Line } from './stream-line.js';
import { StreamWatch } from './stream-watch.js';
import type { StreamQuery } from './streams.dto.js';
import { WsLine } from './ws.line.js';

/** What opens a stream, and keeps it open. */
export const STREAM_SCOPES = ['events:read'] as const satisfies Scope[];

/** Opens live streams of events (contract: webhooks.md, "Streams"; docs/decisions/0017-webhooks.md). */
@Injectable()
export class StreamsService {
  constructor(
    private readonly feed: FeedReader,
    private readonly backlog: StreamBacklog,
    private readonly watch: StreamWatch,
    private readonly interests: Interests,
    private readonly upgrades: Upgrades,
    private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** As server-sent events. Resolves when the stream is open. */
  openSse(caller: VendorPrincipal, query: StreamQuery, request: Request, response: Response): Promise<void> {
    return this.open(caller, query, request, () => Promise.resolve(SseLine.open(request, response)));
  }

  /**
   * Over a WebSocket.
   * @throws 426, 403 ORIGIN_NOT_ALLOWED
   */
  openWebSocket(caller: VendorPrincipal, query: StreamQuery, request: Request, response: Response): Promise<void> {
    this.upgrades.requireOffer(request, response);
    requireOrigin(request, this.config.corsOrigins);
    return this.open(caller, query, request, async () => {
      const { webSocket, socket } = await this.upgrades.accept(request, response);
      return new WsLine(webSocket, socket);
    });
  }

  private async open(caller: VendorPrincipal, query: StreamQuery, request: Request, openLine: () => Promise<Line>): Promise<void> {
    const context = currentRequest();
    if (context === null) throw new Error('A stream was opened outside of a request.');
    const types = patternsOf(query.types);
    const sources = { feed: this.feed, backlog: this.backlog, logger: this.logger };
    const stream = new EventStream({ caller, hints: readHints(request), context, scopes: STREAM_SCOPES }, types, sources);
    this.watch.admit(stream);
    void stream.ended.then(() => {
      this.watch.leave(stream);
    });
    try {
      const stopListening = await this.interests.listen(caller.tenant, highVolumeTypesOf(types));
      void stream.ended.then(stopListening).catch((error: unknown) => {
        // It ends by itself a little later.
        this.logger.debug({ err: error }, 'that a stream has ended could not be kept');
      });
      await this.begin(stream, request.get('Last-Event-ID') ?? query.lastEventId, openLine);
    } catch (error) {
      stream.leave();
      throw error;
    }
  }

  private async begin(stream: EventStream, lastEventId: string | undefined, openLine: () => Promise<Line>): Promise<void> {
    if (lastEventId === undefined || lastEventId === '') return stream.begin(null, openLine);
    const from = await this.backlog.positionOf(stream.tenant, lastEventId);
    await stream.begin(from, async () => {
      const line = await openLine();
      if (from === null) line.say(resetFrame(lastEventId));
      return line;
    });
  }
}
