import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccessGuard } from './access.guard.js';
import { AccessTokens } from './access-tokens.js';
import { Authenticator } from './authenticator.js';
import { CredentialCache } from './credential-cache.js';
import { KeyUseWorker } from './key-use.worker.js';
import { LicenseKeys } from './license-keys.js';
import { Standing } from './standing.js';

const parts = [AccessTokens, Authenticator, CredentialCache, KeyUseWorker, LicenseKeys, Standing];

@Global()
@Module({ providers: [...parts, { provide: APP_GUARD, useClass: AccessGuard }], exports: parts })
export class AuthModule {}
