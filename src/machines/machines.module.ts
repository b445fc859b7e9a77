import { Module } from '@nestjs/common';
import { HeartbeatsService } from './heartbeats.service.js';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';

@Module({ controllers: [MachinesController], providers: [MachinesService, HeartbeatsService] })
export class MachinesModule {}
