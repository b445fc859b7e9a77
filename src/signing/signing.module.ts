import { Global, Module } from '@nestjs/common';
import { KeysInUse } from './keys-in-use.js';
import { Signer } from './signer.js';
import { SigningKeysController } from './signing-keys.controller.js';
import { SigningKeysService } from './signing-keys.service.js';

/** Everywhere: whatever is told to apps may be signed. */
@Global()
@Module({ controllers: [SigningKeysController], providers: [KeysInUse, Signer, SigningKeysService], exports: [Signer] })
export class SigningModule {}
