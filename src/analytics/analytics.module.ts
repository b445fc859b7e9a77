import { Module } from '@nestjs/common';
import { RollUpWorker } from './roll-up.worker.js';

@Module({ providers: [RollUpWorker] })
export class AnalyticsModule {}
