/** Several jobs side by side: what each says of the same thing, and where they differ. */
import { formatNumber } from "@/lib/format/numbers";
import { formatDuration, formatTokensPerSecond, secondsBetween } from "@/lib/format/time";
import { bestOf, type Curves } from "./curves";
import { type JobDetails } from "./job-state";
import { formatSetting, isSettingName, SETTING_NAMES, SETTINGS } from "./settings";

export interface Run {
  job: JobDetails;
  curves: Curves | undefined;
}

export interface CompareRow {
  key: string;
  label: string;
  /** One for each run, in their order. */
  values: string[];
  differs: boolean;
}

/** How the runs went. */
export function resultRows(runs: readonly Run[]): CompareRow[] {
  return [
    row("train_loss", "Train loss", runs, ({ job }) => formatNumber(job.train_loss)),
    row("val_loss", "Validation loss", runs, ({ job }) => formatNumber(job.val_loss)),
    row("best", "Best validation loss", runs, ({ curves }) => formatNumber(bestOf(curves, "val_loss")?.value)),
    row("steps", "Steps", runs, ({ job }) => (job.num_steps > 0 ? `${job.step} of ${job.num_steps}` : "--")),
    row("time", "Time", runs, ({ job }) => formatDuration(secondsBetween(job.started_at, job.completed_at))),
    row("speed", "Speed", runs, ({ job }) => formatTokensPerSecond(job.tokens_per_second)),
  ];
}

/** What they were told. */
export function configRows(runs: readonly Run[]): CompareRow[] {
  const others = new Set(runs.flatMap(({ job }) => Object.keys(job.config).filter((name) => !isSettingName(name))));
  return [
    row("model", "Model", runs, ({ job }) => job.model_name ?? "deleted"),
    row("dataset", "Dataset", runs, ({ job }) => job.dataset_name ?? "deleted"),
    ...[...SETTING_NAMES, ...others].map((name) =>
      row(name, isSettingName(name) ? SETTINGS[name].label : name, runs, ({ job }) => formatSetting(name, job.config[name])),
    ),
  ];
}

function row(key: string, label: string, runs: readonly Run[], read: (run: Run) => string): CompareRow {
  const values = runs.map(read);
  return { key, label, values, differs: new Set(values).size > 1 };
}

/** Names that tell the runs apart: of equal ones each gets the start of its id. */
export function runNames(jobs: readonly Pick<JobDetails, "id" | "name">[]): string[] {
  return jobs.map(({ id, name }) =>
    jobs.filter((other) => other.name === name).length > 1 ? `${name} (${id.slice(-6)})` : name,
  );
}
