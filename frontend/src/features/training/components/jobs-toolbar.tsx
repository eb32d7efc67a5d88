"use client";

import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type ParamChanges } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { allDatasets, baseModels } from "../api";
import { type JobsFilter } from "../lib/search-params";
import { RowPicker } from "./row-picker";

const STATUSES = [
  { value: "all", label: "All" },
  { value: "active", label: "Active" },
  { value: "completed", label: "Completed" },
  { value: "failed", label: "Failed" },
  { value: "cancelled", label: "Cancelled" },
] as const;

interface JobsToolbarProps {
  filter: JobsFilter;
  onChange: (changes: ParamChanges) => void;
}

export function JobsToolbar({ filter, onChange }: JobsToolbarProps) {
  const { data: models } = useQuery(baseModels);
  const { data: datasets } = useQuery(allDatasets);
  return (
    <div role="search" aria-label="Training jobs" className="flex flex-wrap items-center gap-3">
      <ToggleGroup
        aria-label="State of jobs"
        options={STATUSES}
        value={filter.status}
        onValueChange={(status) => onChange({ status: status === "all" ? null : status })}
      />
      <div className="flex w-full min-w-0 flex-wrap items-center gap-2 sm:w-auto">
        <RowPicker
          aria-label="Model of jobs"
          placeholder="Any model"
          rows={models?.items}
          value={filter.modelId}
          onValueChange={(model) => onChange({ model })}
          className="w-full sm:w-44"
        />
        <RowPicker
          aria-label="Dataset of jobs"
          placeholder="Any dataset"
          rows={datasets?.items}
          value={filter.datasetId}
          onValueChange={(dataset) => onChange({ dataset })}
          className="w-full sm:w-44"
        />
        {filter.modelId || filter.datasetId ? (
          <Button variant="ghost" size="sm" onClick={() => onChange({ model: null, dataset: null })}>
            <X aria-hidden />
            Any model and dataset
          </Button>
        ) : null}
      </div>
    </div>
  );
}
