import { Module } from '@nestjs/common';
import { ActivationService } from './activation.service.js';
import { HeartbeatDoor } from './heartbeat.door.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';
import { ProcessesController } from './processes.controller.js';
import { ProcessesService } from './processes.service.js';
import { SweepWorker } from './sweep.worker.js';

@Module({
  controllers: [MachinesController, ProcessesController],
  providers: [MachinesService, ActivationService, HeartbeatsService, HeartbeatDoor, ProcessesService, SweepWorker],
})
export class MachinesModule {}
