"use client";

import { useEffect, useReducer } from "react";
import { applyEdit, countEdits, type Edits, NO_EDITS } from "../lib/edits";

const kept = new Map<string, Edits>();

/** Changes of a dataset's rows that are not saved. They wait while one visits other pages; before the tab goes, the browser asks. */
export function useEdits(datasetId: string) {
  const [edits, edit] = useReducer(applyEdit, NO_EDITS, (none) => kept.get(datasetId) ?? none);
  useEffect(() => keep(datasetId, edits), [datasetId, edits]);
  return { edits, edit };
}

function keep(datasetId: string, edits: Edits): void {
  if (countEdits(edits).total) kept.set(datasetId, edits);
  else kept.delete(datasetId);
  if (kept.size) window.addEventListener("beforeunload", ask);
  else window.removeEventListener("beforeunload", ask);
}

function ask(event: BeforeUnloadEvent): void {
  event.preventDefault();
}
