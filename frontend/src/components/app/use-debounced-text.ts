"use client";

import { useCallback, useEffect, useRef, useState } from "react";

const PAUSE_MS = 300;

/** Text of a search field: shown at once, committed when typing pauses. What `value` becomes from elsewhere is shown too. */
export function useDebouncedText(value: string, commit: (text: string) => void) {
  const [text, setText] = useState(value);
  const committed = useRef(value);
  const latest = useRef(commit);
  useEffect(() => {
    latest.current = commit;
  });

  const commitNow = useCallback((next: string) => {
    if (next === committed.current) return;
    committed.current = next;
    latest.current(next);
  }, []);

  useEffect(() => {
    const timer = setTimeout(() => commitNow(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, commitNow]);

  useEffect(() => {
    if (value === committed.current) return;
    committed.current = value;
    setText(value);
  }, [value]);

  return { text, setText, commitNow };
}
