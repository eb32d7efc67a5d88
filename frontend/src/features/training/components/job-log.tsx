"use client";

import { useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { SearchInput } from "@/components/ui/input-group";
import { ScrollArea } from "@/components/ui/scroll-area";
import { Switch } from "@/components/ui/switch";
import { formatCount } from "@/lib/format/numbers";
import { downloadFile } from "@/lib/storage/download-file";
import { jobLog } from "../api";
import { type JobDetails } from "../lib/job-state";
import { searchLines } from "../lib/log-lines";

/** What the trainer has written, followed to its end while it writes. */
export function JobLog({ job }: { job: JobDetails }) {
  const { data, error, refetch, isFetching } = useQuery(jobLog(job.id, job.status === "running"));
  const [text, setText] = useState("");
  const [isFollowing, setFollowing] = useState(true);
  const wanted = useDeferredValue(text);
  const end = useRef<HTMLDivElement>(null);
  const lines = data?.lines;

  useEffect(() => {
    const box = end.current?.parentElement;
    if (isFollowing && lines && box) box.scrollTop = box.scrollHeight;
  }, [isFollowing, lines, wanted]);

  if (!lines) {
    return error ? (
      <ErrorState error={error} what="the log" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the log" />
    );
  }
  const found = searchLines(lines, wanted);
  return (
    <div className="flex min-w-0 flex-col gap-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <SearchInput
          aria-label="Search the log"
          placeholder="Search the log"
          className="w-full min-w-0 sm:w-72"
          value={text}
          autoComplete="off"
          onChange={(event) => setText(event.target.value)}
        />
        <Field inline label="Follow">
          {(control) => <Switch {...control} checked={isFollowing} onCheckedChange={setFollowing} />}
        </Field>
        <p role="status" className="text-xs text-muted-foreground tabular-nums">
          {wanted.trim() ? `${formatCount(found.length, "line")} of ${lines.length}` : formatCount(lines.length, "line")}
        </p>
        <Button
          variant="ghost"
          size="sm"
          className="ml-auto"
          disabled={lines.length === 0}
          onClick={() => downloadFile(`${job.name}.log`, `${lines.join("\n")}\n`, "text/plain")}
        >
          <Download aria-hidden />
          Save
        </Button>
      </div>
      <ScrollArea label="Log" className="h-96 rounded-xl border bg-card p-3">
        {found.length === 0 ? (
          <p className="text-sm text-muted-foreground">{lines.length ? "No line has that text." : "Nothing written yet."}</p>
        ) : (
          <ol className="font-mono text-xs leading-5">
            {found.map((line) => (
              <li key={line.number} className="flex gap-3">
                <span aria-hidden className="w-10 shrink-0 text-right text-muted-foreground tabular-nums select-none">
                  {line.number}
                </span>
                <span className="min-w-0 break-words whitespace-pre-wrap">{line.text}</span>
              </li>
            ))}
          </ol>
        )}
        <div ref={end} />
      </ScrollArea>
    </div>
  );
}
