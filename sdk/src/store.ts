/**
 * Where a client keeps what it must remember: one text. It holds signed documents, public keys and ids – no license key.
 * Nothing in it is believed for being there: whatever was edited no longer verifies, and whatever is missing proves nothing.
 */
export interface Store {
  /** What was saved last; null = nothing yet. */
  load(): Promise<string | null>;
  /** All or nothing: after a crash the store has the old text or the new one. */
  save(text: string): Promise<void>;
}

/** Forgets with the process: each start needs the server. For tests, and for servers that are always online. */
export function memoryStore(initial: string | null = null): Store {
  let saved = initial;
  return {
    load: () => Promise.resolve(saved),
    save: (text) => {
      saved = text;
      return Promise.resolve();
    },
  };
}

/** What of `Storage` is used: `window.localStorage` is one. */
export interface KeyValueStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** In a browser's or an Electron window's `localStorage`, under one name: choose another for each license of a page. */
export function localStorageStore(
  name = 'latchkey',
  storage: () => KeyValueStorage = () => (globalThis as unknown as { localStorage: KeyValueStorage }).localStorage,
): Store {
  return {
    // Inside of async functions: a browser that forbids storage throws when it is touched.
    load: async () => Promise.resolve(storage().getItem(name)),
    save: async (text) => {
      storage().setItem(name, text);
      return Promise.resolve();
    },
  };
}
