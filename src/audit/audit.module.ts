import { Module } from '@nestjs/common';
import { AuditChainWorker } from './audit-chain.worker.js';
import { AuditController } from './audit.controller.js';
import { AuditService } from './audit.service.js';

@Module({ controllers: [AuditController], providers: [AuditService, AuditChainWorker] })
export class AuditModule {}
