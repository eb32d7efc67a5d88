"use client";

import { Copy, Forward, GitCompare, Play, RotateCcw, Square, Trash2 } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { type JobDetails, possibleActions } from "../lib/job-state";
import { useResumeJob } from "../mutations";

const JobDialog = dynamic(() => import("./job-dialogs").then((module) => module.JobDialog), { ssr: false });
const ExtendDialog = dynamic(() => import("./extend-dialog").then((module) => module.ExtendDialog), { ssr: false });

type Asked = "cancel" | "retry" | "delete" | "extend";

/** What the job's state allows. What cannot be undone asks first. */
export function JobActions({ job }: { job: JobDetails }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const resume = useResumeJob(job.id);
  const can = possibleActions(job);
  const close = () => setAsked(null);
  return (
    <>
      {can.canDelete ? (
        <Button variant="ghost" onClick={() => setAsked("delete")}>
          <Trash2 aria-hidden />
          Delete
        </Button>
      ) : null}
      <Button asChild variant="ghost">
        <Link href={`/training/compare?runs=${job.id}`}>
          <GitCompare aria-hidden />
          Compare
        </Link>
      </Button>
      <Button asChild variant="outline">
        <Link href={`/training/new?from=${job.id}`}>
          <Copy aria-hidden />
          Clone
        </Link>
      </Button>
      {can.canRetry ? (
        <Button variant="outline" onClick={() => setAsked("retry")}>
          <RotateCcw aria-hidden />
          Train again
        </Button>
      ) : null}
      {can.canExtend ? (
        <Button variant="outline" onClick={() => setAsked("extend")}>
          <Forward aria-hidden />
          Train longer
        </Button>
      ) : null}
      {can.canResume ? (
        <Button pending={resume.isPending} onClick={() => resume.mutate()}>
          {resume.isPending ? null : <Play aria-hidden />}
          Resume
        </Button>
      ) : null}
      {can.canCancel ? (
        <Button variant="outline" onClick={() => setAsked("cancel")}>
          <Square aria-hidden />
          Cancel
        </Button>
      ) : null}
      {asked === "extend" ? <ExtendDialog job={job} onClose={close} /> : null}
      {asked && asked !== "extend" ? <JobDialog job={job} action={asked} onClose={close} /> : null}
    </>
  );
}
