"use client";

import { useQuery } from "@tanstack/react-query";
import { Play } from "lucide-react";
import { type ReactNode } from "react";
import { ErrorState } from "@/components/app/error-state";
import { FormAlert } from "@/components/app/form-alert";
import { activeJobs } from "@/components/app/shell-queries";
import { Button } from "@/components/ui/button";
import { Card, CardDescription, CardFooter, CardHeader, CardTitle } from "@/components/ui/card";
import { cn } from "@/components/ui/cn";
import { ScrollArea } from "@/components/ui/scroll-area";
import { Spinner } from "@/components/ui/spinner";
import { formatCount } from "@/lib/format/numbers";
import { finishedOn } from "../api";
import { type JobFormState } from "../hooks/use-job-form";
import { estimateSeconds } from "../lib/report";
import { ReportView } from "./report-view";

/** What would come of it, beside the form, and the button that starts it. */
export function PreflightPanel({ form }: { form: JobFormState }) {
  const { body, checks, create } = form;
  const { data: before } = useQuery(activeJobs);
  const isRefused = Boolean(body && checks.data?.report.refusal && !checks.isOutdated);
  return (
    <Card aria-label="Checks before the start" className="lg:sticky lg:top-4">
      <CardHeader>
        <CardTitle>Before it starts</CardTitle>
        <CardDescription>Rows, memory and steps, as the trainer will see them.</CardDescription>
      </CardHeader>
      {/* Scrolls on its own where it is beside the form, so that the button stays in sight. */}
      <ScrollArea label="What it takes" className="flex flex-col gap-3 px-4 pb-4 lg:max-h-[calc(100dvh-16rem)]">
        <Checks form={form} />
      </ScrollArea>
      <CardFooter className="flex-col items-stretch">
        <FormAlert message={form.formError} />
        <Button type="submit" pending={create.isPending} disabled={!body || isRefused}>
          {create.isPending ? null : <Play aria-hidden />}
          Start training
        </Button>
        <p className="text-xs text-muted-foreground">{describeQueue(before?.total)}</p>
      </CardFooter>
    </Card>
  );
}

function describeQueue(numBefore: number | undefined): string {
  if (numBefore === undefined) return "The queue is not known just now.";
  if (numBefore === 0) return "The queue is empty: it starts at once.";
  return `${formatCount(numBefore, "job is", "jobs are")} before it; it waits for its turn.`;
}

function Checks({ form }: { form: JobFormState }) {
  const { body, checks, model, dataset, settingErrors } = form;
  const { data: earlier } = useQuery({ ...finishedOn(model?.id ?? ""), enabled: Boolean(model) });
  if (!body) {
    const numTypos = Object.keys(settingErrors).length;
    if (numTypos > 0) return <Note>{`Mend ${formatCount(numTypos, "setting")} first.`}</Note>;
    return <Note>{missing(Boolean(model), Boolean(dataset))}</Note>;
  }
  const busy = checks.isOutdated ? (
    <p role="status" className="flex items-center gap-2 text-xs text-muted-foreground">
      <Spinner />
      Reading the rows…
    </p>
  ) : null;
  if (!checks.data) {
    return (
      busy ??
      (checks.error ? (
        <ErrorState error={checks.error} what="the checks" onRetry={() => void checks.refetch()} retrying={checks.isFetching} />
      ) : null)
    );
  }
  const { report, machine_memory_bytes: machineBytes } = checks.data;
  return (
    <>
      {busy}
      <div className={cn("flex flex-col gap-3 transition-opacity", checks.isOutdated && "opacity-60")}>
        <ReportView
          report={report}
          machineBytes={machineBytes}
          datasetId={body.dataset_id}
          seconds={estimateSeconds(report, earlier?.items[0]?.tokens_per_second)}
        />
      </div>
    </>
  );
}

function missing(hasModel: boolean, hasDataset: boolean): string {
  if (!hasModel && !hasDataset) return "Choose a model and a dataset.";
  return hasModel ? "Choose a dataset." : "Choose a model.";
}

function Note({ children }: { children: ReactNode }) {
  return <p className="text-sm text-muted-foreground">{children}</p>;
}
