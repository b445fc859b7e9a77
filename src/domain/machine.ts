/** What a machine says of itself (contract: resources.md, "Machines"). */

export const machinePlatforms = ['macos', 'windows', 'linux', 'docker', 'kubernetes', 'other'] as const;
export type MachinePlatform = (typeof machinePlatforms)[number];

/** What every fingerprint is, wherever one is taken. */
export const FINGERPRINT = { min: 8, max: 256, pattern: /^[\x20-\x7e]+$/, patternHelp: 'must be printable ASCII characters' };

/** Characters of a machine's name. */
export const MAX_MACHINE_NAME_LENGTH = 255;
