import { Module } from '@nestjs/common';
import { AnalyticsController } from './analytics.controller.js';
import { AnalyticsService } from './analytics.service.js';
import { Freshness } from './freshness.js';
import { RollUpWorker } from './roll-up.worker.js';

@Module({ controllers: [AnalyticsController], providers: [AnalyticsService, Freshness, RollUpWorker], exports: [AnalyticsService] })
export class AnalyticsModule {}
