import { Module } from '@nestjs/common';
import { RankingsController } from './rankings.controller.js';
import { RankingsService } from './rankings.service.js';
import { RebuildService } from './rebuild.service.js';
import { RollUpRetentionWorker } from './roll-up-retention.worker.js';
import { RollUpWorker } from './roll-up.worker.js';

@Module({
  controllers: [RankingsController],
  providers: [RankingsService, RebuildService, RollUpWorker, RollUpRetentionWorker],
})
export class AnalyticsModule {}
