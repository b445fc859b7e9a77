import semver from 'semver';

/** Semantic versions (https://semver.org) and ranges over them, as the semver library of npm reads them. */

export function isVersion(text: string): boolean {
  return semver.valid(text) !== null;
}

export function isVersionRange(text: string): boolean {
  return semver.validRange(text) !== null;
}

/** Prereleases count as the versions that they sort as: 2.0.0-beta.1 is in `>=1`, and not in `>=2`. */
export function coversVersion(range: string, version: string): boolean {
  return semver.satisfies(version, range, { includePrerelease: true });
}

/** As it is told apart from others: `v1.2.3` is `1.2.3`, and what comes after a `+` is of no version. */
export function nameOfVersion(text: string): string {
  return semver.valid(text) ?? text;
}
