import { Module } from '@nestjs/common';
import { ServiceController } from './service.controller.js';
import { ServiceService } from './service.service.js';
import { Watch } from './watch.js';

@Module({ controllers: [ServiceController], providers: [ServiceService, Watch] })
export class ServiceModule {}
