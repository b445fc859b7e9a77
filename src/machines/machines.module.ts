import { Module } from '@nestjs/common';
import { ActivationService } from './activation.service.js';
import { HeartbeatDoor } from './heartbeat.door.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';
import { SweepWorker } from './sweep.worker.js';

@Module({
  controllers: [MachinesController],
  providers: [MachinesService, ActivationService, HeartbeatsService, HeartbeatDoor, SweepWorker],
})
export class MachinesModule {}
