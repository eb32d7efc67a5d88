"use client";

import { useQueries, useQuery } from "@tanstack/react-query";
import { servedModels } from "@/components/app/shell-queries";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { allDownloads, modelVersions } from "../api";
import { type Model, type ModelRow, toRow } from "../lib/model-rows";

/** Models of the registry with all that is known of them elsewhere. */
export function useModelRows(models: readonly Model[]): ModelRow[] {
  const { data: served, isError } = useQuery(servedModels);
  const { data: downloads } = useQuery({ ...allDownloads, refetchInterval: useFallbackInterval() });
  return models.map((model) =>
    toRow(model, { served: isError ? undefined : served?.models, downloads: downloads?.items ?? [] }),
  );
}

/** The rows with the size of each adapter's newest version, which only its versions know. For what is in sight. */
export function useAdapterSizes(rows: readonly ModelRow[]): ModelRow[] {
  const answers = useQueries({
    queries: rows.map(({ model }) => ({
      ...modelVersions(model.id),
      enabled: model.type === "adapter" && model.latest_version !== null,
      staleTime: 60_000,
    })),
  });
  return rows.map((row, index) =>
    row.model.type === "adapter" ? { ...row, numBytes: answers[index]?.data?.items[0]?.num_bytes ?? null } : row,
  );
}
