"use client";

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Backend } from "@/lib/api/client";
import { preflight } from "../api";

const SETTLE_MS = 600;

/** The checks for what the form says, once it has been left alone for a moment. `isOutdated` while newer ones are on their way. */
export function usePreflight(body: Backend<"TrainingCreate"> | null) {
  const wanted = JSON.stringify(body);
  const [settled, setSettled] = useState(wanted);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(wanted), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [wanted]);
  const query = useQuery({
    ...preflight(JSON.parse(settled) as Backend<"TrainingCreate"> | null),
    // Of another dataset or model nothing is true for this one; of other settings most is, until the answer comes.
    placeholderData: (earlier, earlierQuery) =>
      isSameData(earlierQuery?.queryKey.at(-1), JSON.parse(settled)) ? earlier : undefined,
  });
  return { ...query, isOutdated: wanted !== settled || query.isFetching };
}

function isSameData(a: unknown, b: unknown): boolean {
  const [first, second] = [a, b] as (Backend<"TrainingCreate"> | null | undefined)[];
  return Boolean(first && second && first.model_id === second.model_id && first.dataset_id === second.dataset_id);
}
