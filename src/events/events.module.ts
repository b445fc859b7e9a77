import { Module } from '@nestjs/common';
import { EventsController } from './events.controller.js';
import { EventsService } from './events.service.js';
import { FeedWorker } from './feed.worker.js';
import { RetentionWorker } from './retention.worker.js';

@Module({ controllers: [EventsController], providers: [EventsService, FeedWorker, RetentionWorker] })
export class EventsModule {}
