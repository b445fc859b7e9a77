import { Module } from '@nestjs/common';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentKeyService } from './current-key.service.js';
import { LeakCheckService } from './leak-check.service.js';

@Module({ controllers: [ApiKeysController], providers: [ApiKeysService, CurrentKeyService, LeakCheckService] })
export class ApiKeysModule {}
