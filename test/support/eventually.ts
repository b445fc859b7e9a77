const DEADLINE_MS = 20_000;
const PAUSE_MS = 50;

/** What is looked at, once it is as wanted: for what another part of the system does a moment later. */
export async function eventually<T>(look: () => Promise<T>, isThere: (found: T) => boolean): Promise<T> {
  const found = await latest(look, isThere);
  if (!isThere(found)) throw new Error(`it never came: ${JSON.stringify(found)}`);
  return found;
}

/** The same, and what was found last when it never was as wanted: for those who say themselves what is wrong with it. */
export async function latest<T>(look: () => Promise<T>, isThere: (found: T) => boolean): Promise<T> {
  for (const until = Date.now() + DEADLINE_MS; ;) {
    const found = await look();
    if (isThere(found) || Date.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
