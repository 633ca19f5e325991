// What the browser keeps for us: in local storage where it lets us, else as long as the page lives.
export interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  /** The keys that begin with this, in their order. */
  keys(prefix: string): string[];
}

/** Blocked or full storage loses nothing while the page lives. */
export function storage(): Store {
  let kept: Storage | undefined;
  try {
    kept = localStorage;
    kept.setItem("tw_try", "1");
    kept.removeItem("tw_try");
  } catch {
    kept = undefined;
  }
  const memory = new Map<string, string>();
  return {
    get: (key) => memory.get(key) ?? kept?.getItem(key) ?? null,
    set(key, value) {
      try {
        if (!kept) throw 0;
        kept.setItem(key, value);
        memory.delete(key);
      } catch {
        memory.set(key, value);
      }
    },
    remove(key) {
      memory.delete(key);
      kept?.removeItem(key);
    },
    keys: (prefix) =>
      [...new Set([...memory.keys(), ...(kept ? Object.keys(kept) : [])])].filter((key) => key.startsWith(prefix)).sort(),
  };
}
