import { Module } from '@nestjs/common';
import { FeedReader } from './feed-reader.js';
import { FeedWorker } from './feed.worker.js';
import { StreamBacklog } from './stream-backlog.js';
import { StreamWatch } from './stream-watch.js';
import { StreamsController } from './streams.controller.js';
import { StreamsService } from './streams.service.js';

@Module({ controllers: [StreamsController], providers: [FeedWorker, FeedReader, StreamBacklog, StreamWatch, StreamsService] })
export class EventsModule {}
