/** Collects items and hands them over together, at most once in `intervalMs`; the first one after a silence at once. */

export interface Batch<T> {
  add: (item: T) => void;
  /** What was collected and not handed over is dropped. */
  stop: () => void;
}

export function createBatch<T>(flush: (items: T[]) => void, intervalMs: number): Batch<T> {
  let items: T[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function hand(): void {
    timer = undefined;
    if (items.length === 0) return;
    const taken = items;
    items = [];
    timer = setTimeout(hand, intervalMs);
    flush(taken);
  }

  return {
    add(item) {
      items.push(item);
      timer ??= setTimeout(hand, 0);
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
      items = [];
    },
  };
}
