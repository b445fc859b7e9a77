import { LatchkeyError } from './errors.js';
import type { PolicyAuthentication } from './policy.js';

/**
 * Who may activate machines (contract: resources.md, `authentication`).
 * @throws 403 AUTHENTICATION_NOT_ALLOWED
 */
export function requireMayActivate(credential: 'license' | 'apiKey', authentication: PolicyAuthentication): void {
  if (authentication === 'BOTH' || authentication === (credential === 'license' ? 'LICENSE' : 'API_KEY')) return;
  const what = credential === 'license' ? 'a license key' : 'an API key';
  throw new LatchkeyError('AUTHENTICATION_NOT_ALLOWED', `The policy does not let ${what} activate machines.`, { authentication });
}
