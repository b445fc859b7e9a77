import { Module } from '@nestjs/common';
import { ActivationService } from './activation.service.js';
import { MachineCheckOutController } from './check-out.controller.js';
import { MachineCheckOutService } from './check-out.service.js';
import { HeartbeatDoor } from './heartbeat.door.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';
import { OfflineRequestsService } from './offline-requests.service.js';
import { ProcessesController } from './processes.controller.js';
import { ProcessesService } from './processes.service.js';
import { SweepWorker } from './sweep.worker.js';

@Module({
  // In order: a path of its own comes before `:id`.
  controllers: [MachineCheckOutController, MachinesController, ProcessesController],
  providers: [
    MachinesService,
    ActivationService,
    HeartbeatsService,
    HeartbeatDoor,
    ProcessesService,
    SweepWorker,
    MachineCheckOutService,
    OfflineRequestsService,
  ],
})
export class MachinesModule {}
