/** A value in localStorage that components can subscribe to; other tabs' changes arrive too. */

export interface LocalStore<T> {
  /** The same object until it changes, as useSyncExternalStore asks. */
  get: () => T;
  set: (change: Partial<T>) => void;
  reset: () => void;
  subscribe: (listener: () => void) => () => void;
}

/** `parse` makes a whole value of anything: what is stored may be of an older version, or damaged. */
export function createLocalStore<T extends object>(key: string, parse: (stored: unknown) => T): LocalStore<T> {
  const listeners = new Set<() => void>();
  let known: { text: string | null; value: T } | null = null;
  /** What a private window or a full disk refused to keep; it lives as long as the tab. */
  let unsaved: T | null = null;

  function get(): T {
    if (unsaved) return unsaved;
    const text = read(key);
    if (!known || known.text !== text) known = { text, value: parse(fromJSON(text)) };
    return known.value;
  }

  function save(value: T | null): void {
    try {
      if (value) window.localStorage.setItem(key, JSON.stringify(value));
      else window.localStorage.removeItem(key);
      unsaved = null;
    } catch {
      unsaved = value;
    }
    listeners.forEach((listener) => listener());
  }

  function subscribe(listener: () => void): () => void {
    const onStorage = (event: StorageEvent) => {
      if (event.key === key || event.key === null) listener();
    };
    listeners.add(listener);
    window.addEventListener("storage", onStorage);
    return () => {
      listeners.delete(listener);
      window.removeEventListener("storage", onStorage);
    };
  }

  return {
    get,
    set: (change) => save({ ...get(), ...change }),
    reset: () => save(null),
    subscribe,
  };
}

function read(key: string): string | null {
  try {
    return typeof window === "undefined" ? null : window.localStorage.getItem(key);
  } catch {
    return null;
  }
}

function fromJSON(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
