import { Module } from '@nestjs/common';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';
import { SweepWorker } from './sweep.worker.js';

@Module({ controllers: [MachinesController], providers: [MachinesService, SweepWorker] })
export class MachinesModule {}
