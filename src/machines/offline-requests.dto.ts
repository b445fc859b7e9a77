import { Id, Integer, Text } from '../core/fields.js';
import { MIN_TTL_SECONDS } from '../domain/license-file.js';
import { LicenseFileView } from '../offline/check-out.dto.js';

/** Characters of a request, with the white space that it was carried with. */
const MAX_REQUEST_LENGTH = 10_000;

export class OfflineRequestBody {
  @Text({
    help: 'What the app made: base64 of the JSON object `{v: 1, keyDigest, fingerprint, name?, platform?, nonce}`, where `keyDigest` is the SHA-256 of the license key as displayed, in hex.',
    max: MAX_REQUEST_LENGTH,
    example:
      'eyJ2IjoxLCJrZXlEaWdlc3QiOiIzZjc5YmI3YjQzNWIwNTMyMTY1MWRhZWZkMzc0Y2QyMWIzZDhmM2IyYjYzMjIwZTc1YjY0YmZlYzJhMDYwZjVlIiwiZmluZ2VycHJpbnQiOiJhMWIyYzNkNGU1ZjZhN2I4Iiwibm9uY2UiOiJmM2E5YzEifQ==',
  })
  request!: string;

  @Integer({
    help: "For how many seconds the file is to be good; at most, and by default, the policy's `offlineMaxDays`.",
    min: MIN_TTL_SECONDS,
    optional: true,
    example: 604_800,
  })
  ttlSeconds?: number;
}

export class OfflineAnswerView extends LicenseFileView {
  @Id({ help: 'The machine that has the seat.' })
  machineId!: string;
}
