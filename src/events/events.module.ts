import { Module } from '@nestjs/common';
import { EventsController } from './events.controller.js';
import { EventsService } from './events.service.js';
import { FeedReader } from './feed-reader.js';
import { FeedWorker } from './feed.worker.js';
import { RetentionWorker } from './retention.worker.js';
import { StreamBacklog } from './stream-backlog.js';
import { StreamWatch } from './stream-watch.js';
import { StreamsController } from './streams.controller.js';
import { StreamsService } from './streams.service.js';

@Module({
  // Streams first: their paths would be taken for ids.
  controllers: [StreamsController, EventsController],
  providers: [EventsService, FeedWorker, RetentionWorker, FeedReader, StreamBacklog, StreamWatch, StreamsService],
})
export class EventsModule {}
