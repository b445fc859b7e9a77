/**
 * Flairs are tags in square brackets in a key's name, `sync[bulk]` (contract: auth.md, "API keys"). `bulk` and `segment`
 * mean something; others are kept and do nothing.
 */

const TAG = /\[([^[\]]+)\]/g;

/** The flairs that a name has, in lower case, each once, in the order of the name. */
export function flairsOf(name: string): string[] {
  const tags = [...name.matchAll(TAG)].map(([, tag]) => (tag ?? '').trim().toLowerCase());
  return [...new Set(tags.filter((tag) => tag !== ''))];
}

/** The name with this flair: appended where it is missing, at the cost of the name's end where that is too long. */
export function withFlair(name: string, flair: string, maxLength: number): string {
  if (flairsOf(name).includes(flair)) return name;
  const tag = `[${flair}]`;
  // By characters: half of one could not be stored.
  return (
    Array.from(name)
      .slice(0, maxLength - tag.length)
      .join('') + tag
  );
}
