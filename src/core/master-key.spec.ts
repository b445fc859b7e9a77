import { describe, expect, it } from '@jest/globals';
import { MasterKey } from './master-key.js';

const bytes = (fill: string): Buffer => Buffer.alloc(32, fill);
const [old, next] = [bytes('old'), bytes('next')];

describe('a master key', () => {
  it('opens what it has sealed, for the same row only', () => {
    const key = new MasterKey(old);
    const sealed = key.seal('a secret', 'row 1');
    expect(key.open(sealed, 'row 1')).toBe('a secret');
    expect(() => key.open(sealed, 'row 2')).toThrow();
    expect(Buffer.from(sealed.subarray(0, 8)).toString('hex')).toBe(key.id);
  });

  it('opens what any of the readable keys has sealed, and seals with its own alone', () => {
    const changing = new MasterKey(next, { readable: [old] });
    expect(changing.open(new MasterKey(old).seal('a secret', 'row'), 'row')).toBe('a secret');
    expect(new MasterKey(next).open(changing.seal('a secret', 'row'), 'row')).toBe('a secret');
    expect(() => new MasterKey(old).open(changing.seal('a secret', 'row'), 'row')).toThrow();
    expect(() => new MasterKey(next).open(new MasterKey(old).seal('a secret', 'row'), 'row')).toThrow();
  });

  it('tells a key that is not configured, which another server may have, from what was changed', () => {
    const sealed = new MasterKey(old).seal('a secret', 'row');
    let thrown: unknown;
    try {
      new MasterKey(next).open(sealed, 'row');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.not.stringContaining(new MasterKey(old).id),
      cause: { message: expect.stringMatching(new RegExp(`master key ${new MasterKey(old).id}, which is not configured`)) },
    });
    expect(() => new MasterKey(old).open(sealed, 'another row')).toThrow(/another row/);
  });

  it('opens what was sealed when nothing named its key', () => {
    const older = new MasterKey(old).seal('a secret', 'row').subarray(8);
    expect(new MasterKey(old).open(older, 'row')).toBe('a secret');
    expect(new MasterKey(next, { readable: [old] }).open(older, 'row')).toBe('a secret');
    expect(() => new MasterKey(next).open(older, 'row')).toThrow();
  });

  it('is opened by no change of what was sealed, nor by less of it', () => {
    const key = new MasterKey(old, { readable: [next] });
    const sealed = key.seal('a secret', 'row');
    for (let index = 0; index < sealed.length; index += 1) {
      const changed = Uint8Array.from(sealed, (byte, at) => (at === index ? byte ^ 1 : byte));
      expect(() => key.open(changed, 'row')).toThrow();
      expect(() => key.open(sealed.subarray(0, index), 'row')).toThrow();
    }
  });

  it('makes the same digests and tags after a rotation, from what was wrapped under another key', () => {
    const before = new MasterKey(old);
    const changing = new MasterKey(next, { readable: [old] }).withKept(before.id, before.wrapKept());
    const after = new MasterKey(next).withKept(changing.id, changing.wrapKept());
    expect(after.pepperId).toBe(before.pepperId);
    expect(after.id).not.toBe(before.id);
    const made = (key: MasterKey): unknown[] => [
      key.digestApiKey('x'),
      key.digestGeneratedKey('x'),
      key.digestVendorKey('a', 'x'),
      key.digestIdempotencyKey('x'),
      key.digestIdempotentRequest('x'),
      key.licenseKeyTagSecret.export(),
      key.keptSecret('a use').export(),
    ];
    expect(made(after)).toEqual(made(before));
    expect(made(new MasterKey(next))).not.toEqual(made(before));
    expect(new Set(made(before).map(String)).size).toBe(made(before).length);
    expect(() => new MasterKey(next).withKept(before.id, before.wrapKept())).toThrow();
  });

  it('knows the verifier of each of its keys by its name, and no other', () => {
    const changing = new MasterKey(next, { readable: [old] });
    for (const { accessTokenKey } of [new MasterKey(old), new MasterKey(next)])
      expect(changing.accessTokenVerifier(accessTokenKey.id)?.equals(accessTokenKey.publicKey)).toBe(true);
    expect(changing.accessTokenVerifier(new MasterKey(bytes('third')).accessTokenKey.id)).toBeNull();
    expect(changing.accessTokenVerifier(undefined)).toBeNull();
  });
});
