import { Module } from '@nestjs/common';
import { AddressGuard } from './address-guard.js';
import { DeliveriesService } from './deliveries.service.js';
import { DeliveryWorker } from './delivery.worker.js';
import { DeliveryOutcomes } from './outcomes.js';
import { WebhookSender } from './sender.js';
import { WebhooksController } from './webhooks.controller.js';
import { WebhooksService } from './webhooks.service.js';

@Module({
  controllers: [WebhooksController],
  providers: [WebhooksService, DeliveriesService, AddressGuard, WebhookSender, DeliveryOutcomes, DeliveryWorker],
})
export class WebhooksModule {}
