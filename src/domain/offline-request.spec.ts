import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LatchkeyError, type Issue } from './errors.js';
import { MAX_OFFLINE_REQUEST_LENGTH, parseOfflineRequest } from './offline-request.js';

const keyDigest = createHash('sha256').update('ACME-KEY').digest('hex');
const sound = { v: 1, keyDigest, fingerprint: 'a1b2c3d4e5f6a7b8', name: 'Ada ümlaut ÿÿÿ>>>', platform: 'linux', nonce: 'n-1' };
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');

function issueOf(text: string): string | null {
  try {
    parseOfflineRequest(text);
    return null;
  } catch (error) {
    const issues = (error as LatchkeyError).details?.issues as Issue[];
    expect(issues.map(({ path }) => path)).toEqual(['request']);
    return issues[0]?.message ?? '';
  }
}

describe('a request of a machine without a network', () => {
  const request = { ...sound, v: undefined };

  it.each([
    ['base64', base64(sound)],
    ['base64 without padding', base64(sound).replaceAll('=', '')],
    ['base64url', Buffer.from(JSON.stringify(sound)).toString('base64url')],
    ['white space around it', `\n  ${base64(sound)}\r\n`],
    ['lines of 64', (base64(sound).match(/.{1,64}/g) ?? []).join('\n')],
    ['a digest in capitals', base64({ ...sound, keyDigest: keyDigest.toUpperCase() })],
  ])('is read from %s', (_, text) => {
    expect(parseOfflineRequest(text)).toEqual(request);
  });

  it('may leave out what is for people', () => {
    const { fingerprint, nonce } = sound;
    const bare = { keyDigest, fingerprint, nonce, name: null, platform: null };
    expect(parseOfflineRequest(base64({ v: 1, keyDigest, fingerprint, nonce }))).toEqual(bare);
    expect(parseOfflineRequest(base64({ v: 1, ...bare }))).toEqual(bare);
  });

  it.each<[string, string, RegExp]>([
    ['nothing', '', /must be base64/],
    ['white space', ' \n', /must be base64/],
    ['plain JSON', JSON.stringify(sound), /must be base64/],
    ['what has one character too many', 'AAAAA', /must be base64/],
    ['padding in the middle', `${base64({ v: 1 })}==${base64(sound)}`, /must be base64/],
    ['what is too long', base64({ ...sound, name: 'x'.repeat(MAX_OFFLINE_REQUEST_LENGTH) }), /must be base64/],
    ['no JSON', Buffer.from('latchkey').toString('base64'), /must be JSON/],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]).toString('base64'), /must be JSON/],
    ['a list', base64([sound]), /must be a JSON object/],
    ['null', base64(null), /must be a JSON object/],
    ['text', base64('request'), /must be a JSON object/],
    ['another field', base64({ ...sound, licenseId: 'x' }), /no other fields/],
    ['a field that every object has', base64(JSON.parse('{"v": 1, "constructor": 1}')), /known fields/],
    ['a null byte', base64({ ...sound, name: 'a\0b' }), /null bytes/],
    ['half of a character', base64({ ...sound, nonce: '\ud800' }), /well-formed/],
    ['another version', base64({ ...sound, v: 2 }), /version 1/],
    ['a version as text', base64({ ...sound, v: '1' }), /version 1/],
    ['no digest', base64({ ...sound, keyDigest: undefined }), /keyDigest/],
    ['the key itself', base64({ ...sound, keyDigest: 'ACME-KEY' }), /keyDigest/],
    ['a digest that is too short', base64({ ...sound, keyDigest: keyDigest.slice(1) }), /keyDigest/],
    ['a digest that is no hex', base64({ ...sound, keyDigest: `${keyDigest.slice(1)}x` }), /keyDigest/],
    ['no fingerprint', base64({ ...sound, fingerprint: undefined }), /fingerprint/],
    ['a short fingerprint', base64({ ...sound, fingerprint: '1234567' }), /fingerprint/],
    ['a long fingerprint', base64({ ...sound, fingerprint: 'x'.repeat(257) }), /fingerprint/],
    ['a fingerprint of other characters', base64({ ...sound, fingerprint: 'fingerprint-ä' }), /fingerprint/],
    ['a fingerprint with a line end', base64({ ...sound, fingerprint: 'fingerprint\n' }), /fingerprint/],
    ['an empty name', base64({ ...sound, name: '' }), /name/],
    ['a long name', base64({ ...sound, name: 'x'.repeat(256) }), /name/],
    ['a name that is none', base64({ ...sound, name: 7 }), /name/],
    ['another platform', base64({ ...sound, platform: 'amiga' }), /platform/],
    ['no nonce', base64({ ...sound, nonce: undefined }), /nonce/],
    ['an empty nonce', base64({ ...sound, nonce: '' }), /nonce/],
    ['a long nonce', base64({ ...sound, nonce: 'x'.repeat(129) }), /nonce/],
  ])('is not %s', (_, text, message) => {
    expect(issueOf(text)).toMatch(message);
  });

  it('is never echoed, and whatever is sent is read or refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => Buffer.from(json).toString('base64')),
          fc.base64String(),
        ),
        (text) => {
          const issue = issueOf(text);
          if (issue !== null && text.length > 20) expect(issue).not.toContain(text.slice(0, 20));
        },
      ),
    );
  });
});
