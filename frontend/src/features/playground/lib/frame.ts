/** Calls `draw` once in the next frame, however often it is asked. A hidden tab draws when it is seen again. */
export interface Frame {
  request: () => void;
  /** Draws at once, and not again for what was asked before. */
  flush: () => void;
}

export function createFrame(draw: () => void): Frame {
  let pending: number | null = null;
  return {
    request() {
      pending ??= requestAnimationFrame(() => {
        pending = null;
        draw();
      });
    },
    flush() {
      if (pending !== null) cancelAnimationFrame(pending);
      pending = null;
      draw();
    },
  };
}
