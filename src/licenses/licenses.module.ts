import { Module } from '@nestjs/common';
import { ActionsController } from './actions.controller.js';
import { ActionsService } from './actions.service.js';
import { BulkController } from './bulk.controller.js';
import { ChangeService } from './change.service.js';
import { CheckOutController } from './check-out.controller.js';
import { CheckOutService } from './check-out.service.js';
import { CreationService } from './creation.service.js';
import { ExportService } from './export.service.js';
import { ImportService } from './import.service.js';
import { ExpiryWorker } from './expiry.worker.js';
import { HistoryController } from './history.controller.js';
import { HistoryService } from './history.service.js';
import { LastValidatedWorker } from './last-validated.worker.js';
import { LicensesController } from './licenses.controller.js';
import { LicensesService } from './licenses.service.js';
import { OfflineDigestWorker } from './offline-digest.worker.js';
import { UsageService } from './usage.service.js';
import { ValidationCounts } from './validation-counts.js';
import { ValidationController } from './validation.controller.js';
import { ValidationEventsService } from './validation-events.service.js';
import { ValidationService } from './validation.service.js';

@Module({
  // In order: a path of its own comes before `:id`.
  controllers: [ValidationController, BulkController, ActionsController, CheckOutController, LicensesController, HistoryController],
  providers: [
    LicensesService,
    ActionsService,
    UsageService,
    ChangeService,
    CreationService,
    ImportService,
    ExportService,
    ValidationService,
    ValidationEventsService,
    ValidationCounts,
    LastValidatedWorker,
    ExpiryWorker,
    HistoryService,
    CheckOutService,
    OfflineDigestWorker,
  ],
})
export class LicensesModule {}
