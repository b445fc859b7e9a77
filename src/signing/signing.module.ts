import { Global, Module } from '@nestjs/common';
import { KeysInUse } from './keys-in-use.js';
import { Signer } from './signer.js';

/** Everywhere: whatever is told to apps may be signed. */
@Global()
@Module({ providers: [KeysInUse, Signer], exports: [Signer] })
export class SigningModule {}
