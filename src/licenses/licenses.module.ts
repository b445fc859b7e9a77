import { Module } from '@nestjs/common';
import { LastValidatedWorker } from './last-validated.worker.js';
import { LicensesController } from './licenses.controller.js';
import { LicensesService } from './licenses.service.js';
import { ValidationController } from './validation.controller.js';
import { ValidationService } from './validation.service.js';

@Module({ controllers: [ValidationController, LicensesController], providers: [LicensesService, ValidationService, LastValidatedWorker] })
export class LicensesModule {}
