"use client";

import { useQuery } from "@tanstack/react-query";
import { MessagesSquare } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { formatInteger } from "@/lib/format/numbers";
import { adapterVersion } from "../api";
import { isActive, type JobDetails } from "../lib/job-state";

/** How the model answered rows of the dataset before and after. */
export function JobSamples({ job }: { job: JobDetails }) {
  if (job.adapter_id && job.adapter_version !== null) {
    return <Samples adapterId={job.adapter_id} version={job.adapter_version} />;
  }
  return (
    <NoSamples
      description={
        isActive(job)
          ? "When the job is completed, the base model and the adapter answer some rows of the dataset."
          : "The job has not been completed, so there is no adapter to compare."
      }
    />
  );
}

function NoSamples({ description }: { description: string }) {
  return <EmptyState icon={MessagesSquare} title="No answers to compare" description={description} />;
}

function Samples({ adapterId, version }: { adapterId: string; version: number }) {
  const { data, error, refetch, isFetching } = useQuery(adapterVersion(adapterId, version));
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the answers" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the answers" />
    );
  }
  if (data.samples.length === 0) return <NoSamples description="This version was made without them." />;
  return (
    <ol className="flex flex-col gap-3">
      {data.samples.map((sample) => (
        <li key={sample.line}>
          <SampleCard sample={sample} />
        </li>
      ))}
    </ol>
  );
}

function SampleCard({ sample }: { sample: Backend<"VersionSample"> }) {
  return (
    <Card>
      <CardHeader>
        <CardTitle>Line {formatInteger(sample.line)} of the dataset</CardTitle>
      </CardHeader>
      <CardContent>
        <dl className="grid gap-3 text-sm md:grid-cols-2">
          <Answer title="Question" text={sample.prompt} />
          <Answer title="Expected" text={sample.expected} />
          <Answer title="Before, base model" text={sample.base} />
          <Answer title="After, with the adapter" text={sample.adapter} />
        </dl>
      </CardContent>
    </Card>
  );
}

function Answer({ title, text }: { title: string; text: string }) {
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <dt className="text-xs text-muted-foreground">{title}</dt>
      <dd className="max-h-64 overflow-y-auto rounded-md bg-muted/50 px-3 py-2 break-words whitespace-pre-wrap" tabIndex={0}>
        {text || <span className="text-muted-foreground">(empty)</span>}
      </dd>
    </div>
  );
}
