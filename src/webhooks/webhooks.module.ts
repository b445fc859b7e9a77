import { Module } from '@nestjs/common';
import { AddressGuard } from './address-guard.js';
import { WebhookSender } from './sender.js';

@Module({ providers: [AddressGuard, WebhookSender] })
export class WebhooksModule {}
