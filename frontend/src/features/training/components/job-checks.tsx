"use client";

import { ListChecks } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { Card, CardContent } from "@/components/ui/card";
import { isActive, type JobDetails } from "../lib/job-state";
import { asReport } from "../lib/report";
import { ReportView } from "./report-view";

/** What the worker found before it began. */
export function JobChecks({ job }: { job: JobDetails }) {
  const report = asReport(job.preflight);
  if (!report) {
    return (
      <EmptyState
        icon={ListChecks}
        title="No checks yet"
        description={isActive(job) ? "The rows are read before the first step." : "The job ended before its rows were read."}
      />
    );
  }
  return (
    <Card className="max-w-2xl">
      <CardContent className="flex flex-col gap-3">
        <ReportView report={report} machineBytes={null} datasetId={job.dataset_id} />
      </CardContent>
    </Card>
  );
}
