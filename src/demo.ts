import { AccountsService } from './accounts/accounts.service.js';
import type { ApiKeyPrincipal } from './auth/principal.js';
import { Authenticator } from './auth/authenticator.js';
import type { Running } from './boot.js';
import { Database } from './core/database.js';
import { LicensesService } from './licenses/licenses.service.js';
import { PoliciesService } from './policies/policies.service.js';
import { ProductsService } from './products/products.service.js';

/**
 * On the first start of an embedded database: an account with a product, a policy and a license, so that there is
 * something to validate at once (contract: operations.md). Answers what to print; empty when there are accounts already.
 */
export async function seedDemo({ app, url }: Running): Promise<string> {
  const accounts = await app.get(Database).acrossTenants('see whether there is an account yet', (db) => db.account.count());
  if (accounts > 0) return '';
  const { apiKeys } = await app.get(AccountsService).create({ name: 'Demo', slug: 'demo', ownerEmail: 'demo@example.com' });
  const caller = (await app.get(Authenticator).authenticate({ scheme: 'key', value: apiKeys.live.key }, {})) as ApiKeyPrincipal;
  const product = await app.get(ProductsService).create(caller.tenant, { name: 'Demo Editor', code: 'demo-editor', keyPrefix: 'DEMO' });
  const policy = await app
    .get(PoliciesService)
    .create(caller.tenant, { productId: product.id, name: 'Demo', template: 'desktop_app', requireFingerprint: false });
  const license = await app.get(LicensesService).create(caller, { productId: product.id, policyId: policy.id, name: 'Demo license' });
  return `
A demo account was made, with a product, a policy and a license. These are shown this once:

  live API key   ${apiKeys.live.key}
  test API key   ${apiKeys.test.key}
  license key    ${license.key ?? ''}

Validate the license:

  curl -s ${url}/api/v1/licenses/validate-key -H 'Content-Type: application/json' -d '{"key": "${license.key ?? ''}"}'

`;
}
