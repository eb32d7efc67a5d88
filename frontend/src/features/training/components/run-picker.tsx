"use client";

import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { formatNumber } from "@/lib/format/numbers";
import { recentJobs } from "../api";
import { type Run } from "../lib/compare";
import { MAX_RUNS } from "../lib/search-params";
import { RowPicker } from "./row-picker";
import { RunDot } from "./run-dot";

interface RunPickerProps {
  ids: readonly string[];
  runs: readonly Run[];
  onChange: (ids: readonly string[]) => void;
}

/** Which runs are compared. */
export function RunPicker({ ids, runs, onChange }: RunPickerProps) {
  const { data } = useQuery(recentJobs);
  const others = data?.items.filter(({ id }) => !ids.includes(id));
  return (
    <div className="flex flex-wrap items-center gap-2">
      <ul aria-label="Compared runs" className="contents">
        {runs.map(({ job }, index) => (
          <li
            key={job.id}
            className="inline-flex h-8 max-w-full items-center gap-1.5 rounded-md border bg-card pr-1 pl-2.5 text-sm shadow-xs"
          >
            <RunDot index={index} />
            <span className="truncate">{job.name}</span>
            <button
              type="button"
              aria-label={`Leave out ${job.name}`}
              className="flex size-6 items-center justify-center rounded-sm text-muted-foreground hover:bg-accent hover:text-foreground"
              onClick={() => onChange(ids.filter((id) => id !== job.id))}
            >
              <X aria-hidden className="size-3.5" />
            </button>
          </li>
        ))}
      </ul>
      {ids.length < MAX_RUNS ? (
        <RowPicker
          aria-label="Add a run"
          placeholder="Add a run"
          rows={others}
          detail={(job) => `${job.status}, loss ${formatNumber(job.train_loss)}`}
          value={null}
          onValueChange={(id) => onChange([...ids, id])}
          className="w-full sm:w-56"
        />
      ) : (
        <p className="text-xs text-muted-foreground">At most {MAX_RUNS} at once.</p>
      )}
    </div>
  );
}
