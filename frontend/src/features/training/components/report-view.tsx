import { CircleAlert, CircleCheck, TriangleAlert } from "lucide-react";
import Link from "next/link";
import { StackedBar } from "@/components/charts/stacked-bar";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger, formatParameters, formatPercent } from "@/lib/format/numbers";
import { formatDuration } from "@/lib/format/time";
import { describeLines, fitOf, type Report } from "../lib/report";
import { Facts } from "./facts";

interface ReportViewProps {
  report: Report;
  /** Null where the job ran on a machine that is not known. */
  machineBytes: number | null;
  datasetId: string | null;
  /** How long it takes; undefined where that is of no interest any more. */
  seconds?: number | null;
}

/** The checks of a job: why it cannot start, what to look at, and what it takes. */
export function ReportView({ report, machineBytes, datasetId, seconds }: ReportViewProps) {
  return (
    <>
      <Findings report={report} datasetId={datasetId} />
      <MemoryNeeded report={report} machineBytes={machineBytes} />
      <Facts
        items={[
          ["Rows to train on", formatInteger(report.num_train_rows)],
          ["Rows held out", formatInteger(report.num_held_out_rows)],
          ["Rows left out", formatInteger(report.num_dropped_rows)],
          ["Rows cut", formatInteger(report.num_truncated_rows)],
          ["Tokens", formatInteger(report.lengths.total)],
          ["Of them learned", formatInteger(report.lengths.learned)],
          ["Row lengths", describeLengths(report)],
          ["Padding", formatPercent(report.padding_waste)],
          ["Steps", formatInteger(report.num_steps)],
          ["Steps an epoch", formatInteger(report.steps_per_epoch)],
          ["Trained numbers", formatParameters(report.memory.num_trained_values)],
          ...(seconds === undefined ? [] : [["Time", describeTime(seconds)] as const]),
        ]}
      />
    </>
  );
}

function describeLengths({ lengths }: Report): string {
  return `${formatInteger(lengths.p50)} median, ${formatInteger(lengths.p95)} p95, ${formatInteger(lengths.max)} max`;
}

function describeTime(seconds: number | null): string {
  return seconds === null
    ? "-- until a job on this model has shown its pace"
    : `about ${formatDuration(seconds)}, as the last job on this model`;
}

function Findings({ report, datasetId }: Pick<ReportViewProps, "report" | "datasetId">) {
  if (!report.refusal && report.warnings.length === 0 && !report.is_partial) {
    return (
      <p className="flex items-center gap-2 text-sm">
        <CircleCheck aria-hidden className="size-4 text-success" />
        All rows can be used.
      </p>
    );
  }
  return (
    <>
      {report.refusal ? (
        <Alert variant="destructive" role="alert">
          <CircleAlert aria-hidden />
          <AlertTitle>It cannot start</AlertTitle>
          <AlertDescription>{report.refusal}</AlertDescription>
        </Alert>
      ) : null}
      {report.is_partial ? (
        <Alert variant="info">
          <CircleAlert aria-hidden />
          <AlertDescription className="col-start-2">
            The dataset is large: these numbers are of the first {formatInteger(report.num_rows)} rows.
          </AlertDescription>
        </Alert>
      ) : null}
      {report.warnings.length ? <Warnings report={report} datasetId={datasetId} /> : null}
    </>
  );
}

function Warnings({ report, datasetId }: Pick<ReportViewProps, "report" | "datasetId">) {
  return (
    <Alert variant="warning">
      <TriangleAlert aria-hidden />
      <AlertTitle>Look at these rows</AlertTitle>
      <AlertDescription>
        <ul className="flex list-disc flex-col gap-1 pl-4">
          {report.warnings.map((warning) => (
            <li key={warning.code}>
              {warning.message} <span className="text-xs">{describeLines(warning.lines, warning.count)}</span>
            </li>
          ))}
        </ul>
        {report.problems.length ? (
          <details className="mt-1.5 text-xs">
            <summary className="min-h-6 cursor-pointer py-1">Each of them</summary>
            <ol className="flex max-h-48 flex-col gap-1 overflow-y-auto">
              {report.problems.slice(0, 50).map((problem, index) => (
                <li key={index}>
                  <span className="tabular-nums">Line {formatInteger(problem.line)}</span>: {problem.message}
                </li>
              ))}
            </ol>
          </details>
        ) : null}
        {datasetId ? (
          <Link
            href={`/datasets/${datasetId}`}
            className="inline-flex min-h-6 items-center text-xs font-medium underline underline-offset-4"
          >
            Open the dataset
          </Link>
        ) : null}
      </AlertDescription>
    </Alert>
  );
}

const VERDICTS = {
  fits: "It fits into this machine.",
  tight: "It fits, but little is left for anything else.",
  too_large: "More than this machine has: take a smaller batch, shorter rows or gradient checkpointing.",
} as const;

function MemoryNeeded({ report, machineBytes }: Pick<ReportViewProps, "report" | "machineBytes">) {
  const { memory, total_memory_bytes: needed } = report;
  const fit = machineBytes === null ? null : fitOf(needed, machineBytes);
  return (
    <div className="flex flex-col gap-1.5">
      <p className="text-sm font-medium tabular-nums">
        {formatBytes(needed)} of memory{machineBytes === null ? "" : `, of ${formatBytes(machineBytes)}`}
      </p>
      <StackedBar
        label="Memory that the job needs"
        total={machineBytes === null ? null : Math.max(machineBytes, needed)}
        format={formatBytes}
        segments={[
          { key: "weights", label: "Weights", value: memory.weights_bytes },
          { key: "activations", label: "Activations", value: memory.activation_bytes + memory.logits_bytes },
          { key: "adapter", label: "Adapter", value: memory.adapter_bytes },
          { key: "optimizer", label: "Optimiser", value: memory.optimizer_bytes },
          { key: "gradients", label: "Gradients", value: memory.gradient_bytes },
        ]}
      />
      {fit === null ? null : (
        <p
          className={
            fit === "too_large"
              ? "text-xs text-destructive"
              : fit === "tight"
                ? "text-xs text-warning"
                : "text-xs text-muted-foreground"
          }
        >
          {VERDICTS[fit]}
        </p>
      )}
    </div>
  );
}
