import { Module } from '@nestjs/common';
import { FeedWorker } from './feed.worker.js';

@Module({ providers: [FeedWorker] })
export class EventsModule {}
