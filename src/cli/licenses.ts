import { ValidateKeyBody, type ValidationView } from '../licenses/validation.dto.js';
import { ValidationService } from '../licenses/validation.service.js';
import { bodyOf } from './input.js';
import { fields, type Outcome, REFUSED, time } from './output.js';
import { inSession } from './session.js';

/** What the software would send beside the key. */
export interface ValidateOptions {
  account?: string;
  fingerprint?: string[];
  product?: string;
  version?: string;
  entitlement?: string[];
}

/** `licenses validate`: what the software would be answered, with all that follows from being asked. */
export async function validateLicense(key: string, options: ValidateOptions): Promise<Outcome> {
  const { account, fingerprint: fingerprints, product, version, entitlement: entitlements } = options;
  const body = await bodyOf(
    ValidateKeyBody,
    { key, account, fingerprints, product, version, entitlements },
    { key: '<key>', fingerprints: '--fingerprint', entitlements: '--entitlement' },
  );
  const verdict = await inSession((session) => session.get(ValidationService).validateKey(body));
  return { document: verdict, text: describe(verdict), exitCode: verdict.valid ? 0 : REFUSED };
}

function describe({ valid, code, message, warnings, license, machine, entitlements }: ValidationView): string {
  const facts: [string, string][] = [[valid ? 'valid' : 'not valid', code === 'VALID' ? message : `${code}: ${message}`]];
  // The code of a valid license with warnings is that of its first warning, which is told already.
  for (const warning of warnings) if (warning.code !== code) facts.push(['warning', `${warning.code}: ${warning.message}`]);
  if (license !== null) {
    facts.push(['license', license.name === null ? license.id : `${license.name} (${license.id})`]);
    facts.push(['environment', license.environment]);
    facts.push(['status', license.status]);
    facts.push(['expires', time(license.expiresAt, 'never')]);
    facts.push([
      'machines',
      license.maxMachines === null ? `${license.machineCount}` : `${license.machineCount} of ${license.maxMachines}`,
    ]);
  }
  if (machine !== null) facts.push(['machine', `${machine.fingerprint} (${machine.status})`]);
  if (entitlements.length > 0) facts.push(['entitlements', entitlements.map((entitlement) => entitlement.code).join(', ')]);
  return fields(facts);
}
