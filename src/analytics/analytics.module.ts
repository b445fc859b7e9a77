import { Module } from '@nestjs/common';
import { AnalyticsController } from './analytics.controller.js';
import { AnalyticsService } from './analytics.service.js';
import { Freshness } from './freshness.js';
import { RankingsController } from './rankings.controller.js';
import { RankingsService } from './rankings.service.js';
import { RebuildService } from './rebuild.service.js';
import { RollUpRetentionWorker } from './roll-up-retention.worker.js';
import { RollUpWorker } from './roll-up.worker.js';

@Module({
  controllers: [AnalyticsController, RankingsController],
  providers: [AnalyticsService, Freshness, RankingsService, RebuildService, RollUpWorker, RollUpRetentionWorker],
  exports: [AnalyticsService],
})
export class AnalyticsModule {}
