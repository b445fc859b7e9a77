import { Controller, Get, Query, Req, Res } from '@nestjs/common';
import { ApiExtraModels, ApiHeader, ApiOperation, ApiResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { RequiresAlsoInQuery } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { Bare, Fails } from '../core/openapi.js';
import { EventView } from './events.dto.js';
import { EVENT_STREAM_TYPE } from './sse.line.js';
import { StreamQuery } from './streams.dto.js';
import { STREAM_SCOPES, StreamsService } from './streams.service.js';

const LAST_EVENT_ID = {
  name: 'Last-Event-ID',
  description: 'The id of the last event that was received: the stream goes on behind it, without a gap or a repeat.',
  required: false,
  schema: { type: 'string', maxLength: 255 },
} as const;

const streamHelp = `Every event from now on, or behind the one that \`Last-Event-ID\` names, in the order in which they are told everywhere.

An id that is unknown, or whose event is kept no more, is answered with \`reset\` and then events from now on. The server ends a stream with a reason: \`TOO_SLOW\` and \`SERVER_STOPPING\` and \`UNAVAILABLE\` = connect again with the last id; else the code of the error that the credential would get now, within a second of its end. At most 100 streams of a key and 500 of an account are open at a time in a process (429), and 2,000 in all (503).`;

@ApiTags('Events')
@Controller('api/v1/events')
export class StreamsController {
  constructor(private readonly streams: StreamsService) {}

  @Get('stream')
  @RequiresAlsoInQuery(...STREAM_SCOPES)
  @Bare()
  @ApiExtraModels(EventView)
  @ApiHeader(LAST_EVENT_ID)
  @ApiResponse({
    status: 200,
    description:
      'Server-sent events: `id` is the event\'s id, `event` its type, `data` the event as JSON. Beside them `reset` (`{"lastEventId"}`), `closed` (`{"reason"}`), and a comment every 15 seconds.',
    content: {
      [EVENT_STREAM_TYPE]: {
        schema: { type: 'string', contentMediaType: 'application/json', contentSchema: { $ref: getSchemaPath(EventView) } },
      },
    } as never,
  })
  @ApiOperation({ summary: 'Follow events as server-sent events', description: streamHelp })
  sse(@Caller() caller: VendorPrincipal, @Query() query: StreamQuery, @Req() request: Request, @Res() response: Response) {
    return this.streams.openSse(caller, query, request, response);
  }

  @Get('ws')
  @RequiresAlsoInQuery(...STREAM_SCOPES)
  @Bare()
  @Fails('UPGRADE_REQUIRED', 'ORIGIN_NOT_ALLOWED')
  @ApiHeader(LAST_EVENT_ID)
  @ApiResponse({
    status: 101,
    description:
      "A WebSocket (RFC 6455): a message a frame, `{ id, event, data }`; `reset` has no id. A ping every 15 seconds. It is closed with 1001 or 1013 = connect again with the last id, or with 4000 and the status that the credential would get now; its reason is that of the stream's end.",
  })
  @ApiOperation({ summary: 'Follow events over a WebSocket', description: streamHelp })
  webSocket(@Caller() caller: VendorPrincipal, @Query() query: StreamQuery, @Req() request: Request, @Res() response: Response) {
    return this.streams.openWebSocket(caller, query, request, response);
  }
}
