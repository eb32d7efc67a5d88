"use client";

import { useQuery } from "@tanstack/react-query";
import Link from "next/link";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { jobDetail } from "../api";
import { toDraft } from "../lib/draft";
import { type JobDetails } from "../lib/job-state";
import { JobForm } from "./job-form";

/** Begins a job: from nothing, for `?model=` and `?dataset=`, or as another job was, `?from=`. */
export function NewJob() {
  const { params } = useURLParams();
  const from = params.get("from");
  return <Page>{from ? <Clone key={from} id={from} /> : <Blank />}</Page>;
}

function Blank() {
  return (
    <>
      <PageHeader
        title="New training job"
        description="Choose a model and a dataset; see what the job takes before it starts."
      />
      <JobForm
        initial={{ modelId: null, datasetId: null, name: "", adapterName: "", promotion: "if_first", draft: toDraft() }}
      />
    </>
  );
}

function Clone({ id }: { id: string }) {
  const { data: job, error, refetch, isFetching } = useQuery(jobDetail(id));
  if (!job) {
    return error ? (
      <ErrorState error={error} what="the job to clone" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the job to clone" shape="page" />
    );
  }
  return (
    <>
      <PageHeader
        title="New training job"
        description={
          <>
            With the settings of{" "}
            <Link href={`/training/${job.id}`} className="font-medium text-primary-text hover:underline">
              {job.name}
            </Link>
            . Its result becomes another version of the same adapter, unless you give it another name.
          </>
        }
      />
      <JobForm initial={initialFrom(job)} />
    </>
  );
}

const initialFrom = (job: JobDetails) => ({
  modelId: job.model_id,
  datasetId: job.dataset_id,
  name: job.name === job.adapter_name ? "" : job.name,
  adapterName: job.adapter_name,
  promotion: job.promotion,
  draft: toDraft(job.config),
});
