import { Module } from '@nestjs/common';
import { ActionsController } from './actions.controller.js';
import { ActionsService } from './actions.service.js';
import { ChangeService } from './change.service.js';
import { HistoryController } from './history.controller.js';
import { HistoryService } from './history.service.js';
import { LastValidatedWorker } from './last-validated.worker.js';
import { LicensesController } from './licenses.controller.js';
import { LicensesService } from './licenses.service.js';
import { ValidationController } from './validation.controller.js';
import { ValidationService } from './validation.service.js';

@Module({
  // In order: a path of its own comes before `:id`.
  controllers: [ValidationController, ActionsController, LicensesController, HistoryController],
  providers: [LicensesService, ActionsService, ChangeService, HistoryService, ValidationService, LastValidatedWorker],
})
export class LicensesModule {}
