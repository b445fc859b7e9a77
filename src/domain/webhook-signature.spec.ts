import { describe, expect, it } from '@jest/globals';
import { generateSecret, sign } from './webhook-signature.js';

describe('a signature', () => {
  it('is what the example of Standard Webhooks says', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const header = sign([secret], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, '{"test": 2432232314}');
    expect(header).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('is made with every secret, in their order', () => {
    const [newer, older] = [generateSecret(), generateSecret()];
    const each = [newer, older].map((secret) => sign([secret], 'id', 1, '{}'));
    expect(sign([newer, older], 'id', 1, '{}')).toBe(each.join(' '));
    expect(each[0]).not.toBe(each[1]);
  });

  it.each(['', 'whsec_', 'whsec_c2hvcnQ=', `v1_${'A'.repeat(44)}`, 'A'.repeat(44)])('is not made with %j, which is not told', (secret) => {
    expect(() => sign([secret], 'id', 1, '{}')).toThrow('not the secret of a webhook');
  });
});

it('a new secret has 32 bytes that nobody else has', () => {
  const secrets = Array.from({ length: 100 }, generateSecret);
  expect(new Set(secrets).size).toBe(100);
  for (const secret of secrets) expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
});
