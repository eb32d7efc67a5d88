"use client";

import { type UseQueryResult } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { useURLParams } from "@/components/app/url-params";
import { LoadingState } from "@/components/app/loading-state";
import { Tabs, TabsContent, TabsList, TabsTrigger } from "@/components/ui/tabs";
import { type Backend } from "@/lib/api/client";
import { type JobDetails } from "../lib/job-state";
import { readTab } from "../lib/search-params";

const loading = () => <LoadingState what="the tab" count={4} />;
const JobCurves = dynamic(() => import("./job-curves").then((module) => module.JobCurves), { ssr: false, loading });
const JobLog = dynamic(() => import("./job-log").then((module) => module.JobLog), { ssr: false, loading });
const JobSamples = dynamic(() => import("./job-samples").then((module) => module.JobSamples), { ssr: false, loading });
const JobSettings = dynamic(() => import("./job-settings").then((module) => module.JobSettings), { ssr: false, loading });
const JobChecks = dynamic(() => import("./job-checks").then((module) => module.JobChecks), { ssr: false, loading });

interface JobTabsProps {
  job: JobDetails;
  metrics: UseQueryResult<Backend<"MetricsPublic">>;
}

/** Everything about a job that fills a page of its own; the address says which of it is shown. */
export function JobTabs({ job, metrics }: JobTabsProps) {
  const { params, change } = useURLParams();
  const tab = readTab(params);
  return (
    <Tabs value={tab} onValueChange={(value) => change({ tab: value === "curves" ? null : value })}>
      <TabsList aria-label="About this job">
        <TabsTrigger value="curves">Curves</TabsTrigger>
        <TabsTrigger value="log">Log</TabsTrigger>
        <TabsTrigger value="samples">Before and after</TabsTrigger>
        <TabsTrigger value="settings">Settings</TabsTrigger>
        <TabsTrigger value="checks">Checks</TabsTrigger>
      </TabsList>
      <TabsContent value="curves">
        <JobCurves metrics={metrics} />
      </TabsContent>
      <TabsContent value="log">
        <JobLog job={job} />
      </TabsContent>
      <TabsContent value="samples">
        <JobSamples job={job} />
      </TabsContent>
      <TabsContent value="settings">
        <JobSettings job={job} />
      </TabsContent>
      <TabsContent value="checks">
        <JobChecks job={job} />
      </TabsContent>
    </Tabs>
  );
}
