"use client";

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { keys } from "@/lib/api/query-keys";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { jobDetail, jobMetrics } from "../api";

/** A job and its curves, live. The stream brings progress and points; the rest is asked for when the job moves on. */
export function useJob(id: string) {
  const client = useQueryClient();
  const refetchInterval = useFallbackInterval();
  const job = useQuery({ ...jobDetail(id), refetchInterval });
  const metrics = useQuery({ ...jobMetrics(id), refetchInterval });
  const place = job.data ? `${job.data.attempt} ${job.data.status} ${job.data.phase}` : null;
  const known = useRef(place);

  useEffect(() => {
    const earlier = known.current;
    known.current = place;
    if (earlier === null || place === null || earlier === place) return;
    // Events carry neither the report of the checks nor the log, and another attempt may begin with empty curves.
    for (const queryKey of [keys.training.detail(id), keys.training.metrics(id), keys.training.logs(id)]) {
      void client.invalidateQueries({ queryKey });
    }
  }, [client, id, place]);

  return { job, metrics };
}
