import { Module } from '@nestjs/common';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';
import { ProcessesController } from './processes.controller.js';
import { ProcessesService } from './processes.service.js';

@Module({ controllers: [MachinesController, ProcessesController], providers: [MachinesService, ProcessesService] })
export class MachinesModule {}
