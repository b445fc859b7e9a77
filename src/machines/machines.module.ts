import { Module } from '@nestjs/common';
import { HeartbeatDoor } from './heartbeat.door.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { MachinesController } from './machines.controller.js';
import { MachinesService } from './machines.service.js';

@Module({ controllers: [MachinesController], providers: [MachinesService, HeartbeatsService, HeartbeatDoor] })
export class MachinesModule {}
