import { type DynamicModule, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { AccountsModule } from './accounts/accounts.module.js';
import { AnalyticsModule } from './analytics/analytics.module.js';
import { ApiKeysModule } from './api-keys/api-keys.module.js';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { type Core, CoreModule } from './core/core.module.js';
import { EntitlementsModule } from './entitlements/entitlements.module.js';
import { EventsModule } from './events/events.module.js';
import { LicensesModule } from './licenses/licenses.module.js';
import { MachinesModule } from './machines/machines.module.js';
import { OfflineModule } from './offline/offline.module.js';
import { PoliciesModule } from './policies/policies.module.js';
import { ProductsModule } from './products/products.module.js';
import { ServiceModule } from './service/service.module.js';
import { SigningModule } from './signing/signing.module.js';
import { TestClocksModule } from './test-clocks/test-clocks.module.js';
import { TokensModule } from './tokens/tokens.module.js';
import { UsersModule } from './users/users.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/** The table of contents. */
@Module({
  imports: [
    DiscoveryModule,
    AuthModule,
    ServiceModule,
    TokensModule,
    AccountsModule,
    UsersModule,
    ApiKeysModule,
    ProductsModule,
    PoliciesModule,
    EntitlementsModule,
    LicensesModule,
    MachinesModule,
    OfflineModule,
    SigningModule,
    TestClocksModule,
    EventsModule,
    WebhooksModule,
    AnalyticsModule,
    AuditModule,
  ],
})
export class AppModule {
  static with(core: Core): DynamicModule {
    return { module: AppModule, imports: [CoreModule.with(core)] };
  }
}
