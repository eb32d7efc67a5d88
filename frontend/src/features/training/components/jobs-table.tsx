"use client";

import { type Column, DataTable } from "@/components/app/data-table";
import { ProgressBar } from "@/components/app/progress-bar";
import { RelativeTime } from "@/components/app/relative-time";
import { StatusBadge } from "@/components/app/status-badge";
import { Checkbox } from "@/components/ui/checkbox";
import { formatInteger, formatNumber } from "@/lib/format/numbers";
import { formatTokensPerSecond } from "@/lib/format/time";
import { describePhase, type Job } from "../lib/job-state";

const COLUMNS: readonly Column<Job>[] = [
  { id: "name", header: "Job", className: "max-w-56 md:max-w-72", cell: nameCell },
  { id: "status", header: "State", cell: (job) => <StatusBadge status={job.status} label={describePhase(job)} /> },
  { id: "progress", header: "Steps", className: "min-w-40", cell: progressCell },
  {
    id: "loss",
    header: "Train loss",
    align: "right",
    className: "hidden md:table-cell",
    cell: (job) => formatNumber(job.train_loss),
  },
  {
    id: "val",
    header: "Validation loss",
    align: "right",
    className: "hidden lg:table-cell",
    cell: (job) => formatNumber(job.val_loss),
  },
  {
    id: "created",
    header: "Created",
    className: "hidden whitespace-nowrap sm:table-cell",
    cell: (job) => <RelativeTime at={job.created_at} className="text-muted-foreground" />,
  },
];

interface JobsTableProps {
  jobs: readonly Job[];
  /** Ids of what is to be compared. */
  chosen: readonly string[];
  onToggle: (id: string) => void;
}

export function JobsTable({ jobs, chosen, onToggle }: JobsTableProps) {
  const columns: Column<Job>[] = [
    ...COLUMNS,
    {
      id: "compare",
      header: "Compare",
      cell: (job) => (
        <Checkbox
          aria-label={`Compare ${job.name}`}
          checked={chosen.includes(job.id)}
          onCheckedChange={() => onToggle(job.id)}
        />
      ),
    },
  ];
  return (
    <DataTable
      label="Training jobs"
      columns={columns}
      rows={jobs}
      rowKey={({ id }) => id}
      href={({ id }) => `/training/${id}`}
    />
  );
}

function nameCell({ name, model_name: model, dataset_name: dataset }: Job) {
  return (
    <span className="flex min-w-0 flex-col">
      <span className="truncate">{name}</span>
      <span className="truncate text-xs font-normal text-muted-foreground">
        {model ?? "deleted model"} · {dataset ?? "deleted dataset"}
      </span>
    </span>
  );
}

function progressCell(job: Job) {
  if (job.status === "running") {
    return (
      <ProgressBar
        label={`Progress of ${job.name}`}
        value={job.num_steps > 0 ? job.progress : null}
        amount={job.num_steps > 0 ? `${formatInteger(job.step)} of ${formatInteger(job.num_steps)}` : undefined}
        rate={job.tokens_per_second === null ? null : formatTokensPerSecond(job.tokens_per_second)}
        remainingSeconds={job.remaining_seconds}
      />
    );
  }
  return (
    <span className="text-muted-foreground tabular-nums">
      {job.num_steps > 0 ? `${formatInteger(job.step)} of ${formatInteger(job.num_steps)}` : "--"}
    </span>
  );
}
