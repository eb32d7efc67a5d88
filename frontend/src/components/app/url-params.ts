"use client";

/** The part of a page's state that its address holds: filters, tabs, what is chosen. So a link or a reload shows the same. */
import { useSearchParams } from "next/navigation";
import { useCallback } from "react";
import { readPage, writePage } from "@/lib/api/pagination";

/** By name; null takes the parameter away. */
export type ParamChanges = Record<string, string | null>;

interface ChangeOptions {
  /** No step of its own in the browser's history, as for what changes with each key. */
  replaces?: boolean;
}

export function useURLParams() {
  const params = useSearchParams();
  const change = useCallback((changes: ParamChanges, { replaces = false }: ChangeOptions = {}) => {
    const next = withChanges(new URLSearchParams(window.location.search), changes);
    const url = next.size ? `${window.location.pathname}?${next}` : window.location.pathname;
    // Next reads along; its router would ask the server for a page that it has.
    if (replaces) window.history.replaceState(null, "", url);
    else window.history.pushState(null, "", url);
  }, []);
  return { params, change };
}

/** Which page of a list is shown. */
export function useURLPage() {
  const { params, change } = useURLParams();
  return { page: readPage(params), setPage: (page: number) => change(writePage(page)) };
}

export function withChanges(params: URLSearchParams, changes: ParamChanges): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}
