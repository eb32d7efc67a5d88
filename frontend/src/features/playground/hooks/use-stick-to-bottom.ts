"use client";

import { useCallback, useEffect, useRef, useState } from "react";

const NEAR_PIXELS = 48;

/** Keeps the end of what grows in sight, until the reader scrolls away. `content` lies inside of `scroller`. */
export function useStickToBottom() {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const isStuck = useRef(true);
  const [isAway, setIsAway] = useState(false);

  const jump = useCallback(() => {
    isStuck.current = true;
    setIsAway(false);
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  }, []);

  useEffect(() => {
    const box = scroller.current;
    const inner = content.current;
    if (!box || !inner) return;
    let lastTop = box.scrollTop;
    function onScroll() {
      if (!box) return;
      const isNear = box.scrollHeight - box.scrollTop - box.clientHeight <= NEAR_PIXELS;
      // Growth moves the end away without any scrolling; only going up lets go.
      if (isNear) isStuck.current = true;
      else if (box.scrollTop < lastTop) isStuck.current = false;
      lastTop = box.scrollTop;
      setIsAway(!isNear && !isStuck.current);
    }
    const observer = new ResizeObserver(() => {
      if (isStuck.current) box.scrollTop = box.scrollHeight;
    });
    observer.observe(inner);
    observer.observe(box);
    box.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", onScroll);
    };
  }, []);

  return { scroller, content, isAway, jump };
}
