"use client";

import { CircleAlert } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useCrumbLabel } from "@/components/app/crumb-label";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { StatusBadge } from "@/components/app/status-badge";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { useJob } from "../hooks/use-job";
import { describePhase, type JobDetails, nextStepOf } from "../lib/job-state";
import { JobActions } from "./job-actions";
import { JobProgress } from "./job-progress";
import { JobResult } from "./job-result";

const JobTabs = dynamic(() => import("./job-tabs").then((module) => module.JobTabs), {
  ssr: false,
  loading: () => <LoadingState what="the curves" count={4} />,
});

/** One job, live: how far it is, its curves and log, what came of it, and what can be done with it. */
export function Job({ id }: { id: string }) {
  const { job: query, metrics } = useJob(id);
  const job = query.data;
  useCrumbLabel(job?.name);
  if (!job) {
    return (
      <Page>
        {query.error ? (
          <>
            <PageHeader title="Training job" />
            <ErrorState error={query.error} what="the job" onRetry={() => void query.refetch()} retrying={query.isFetching} />
          </>
        ) : (
          <LoadingState what="the job" shape="page" />
        )}
      </Page>
    );
  }
  return (
    <Page>
      <PageHeader
        title={job.name}
        description={<Inputs job={job} />}
        badge={<StatusBadge status={job.status} label={describePhase(job)} />}
        actions={<JobActions job={job} />}
      />
      <Failure job={job} />
      <JobProgress job={job} curves={metrics.data?.series} />
      {job.adapter_id && job.adapter_version !== null ? (
        <JobResult job={job} adapterId={job.adapter_id} version={job.adapter_version} />
      ) : null}
      <JobTabs job={job} metrics={metrics} />
    </Page>
  );
}

const LINK = "font-medium text-foreground hover:underline";

function Inputs({ job }: { job: JobDetails }) {
  return (
    <>
      {job.model_id ? (
        <Link href={`/models/${job.model_id}`} className={LINK}>
          {job.model_name}
        </Link>
      ) : (
        "A deleted model"
      )}
      {" on "}
      {job.dataset_id ? (
        <Link href={`/datasets/${job.dataset_id}`} className={LINK}>
          {job.dataset_name}
        </Link>
      ) : (
        "a deleted dataset"
      )}
    </>
  );
}

function Failure({ job }: { job: JobDetails }) {
  if (job.status !== "failed") return null;
  return (
    <Alert variant="destructive" role="alert">
      <CircleAlert aria-hidden />
      <AlertTitle>The job failed while {job.phase}</AlertTitle>
      <AlertDescription className="flex flex-col gap-1">
        <p>{job.error_message ?? "Its trainer ended without a message."}</p>
        <p>{nextStepOf(job)}</p>
        {job.error_code || job.exit_signal ? (
          <p className="text-xs">
            {[job.error_code, job.exit_signal ? `signal ${job.exit_signal}` : null].filter(Boolean).join(", ")}
          </p>
        ) : null}
      </AlertDescription>
    </Alert>
  );
}
