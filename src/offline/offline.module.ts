import { Global, Module } from '@nestjs/common';
import { LicenseFiles } from './license-files.js';

/** Everywhere: licenses and machines are both checked out. */
@Global()
@Module({ providers: [LicenseFiles], exports: [LicenseFiles] })
export class OfflineModule {}
