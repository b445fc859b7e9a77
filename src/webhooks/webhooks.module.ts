import { Module } from '@nestjs/common';
import { AddressGuard } from './address-guard.js';
import { DeliveryWorker } from './delivery.worker.js';
import { DeliveryOutcomes } from './outcomes.js';
import { WebhookSender } from './sender.js';

@Module({ providers: [AddressGuard, WebhookSender, DeliveryOutcomes, DeliveryWorker] })
export class WebhooksModule {}
