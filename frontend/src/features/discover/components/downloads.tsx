"use client";

import { useQuery } from "@tanstack/react-query";
import { Download as DownloadIcon } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { allDownloads } from "../api";
import { isUnfinished } from "../lib/download-state";
import { CacheUsage } from "./cache-usage";
import { DownloadRow } from "./download-row";
import { EndedDownloads } from "./ended-downloads";

/** The queue, then what has come, with the room that it takes. */
export function Downloads() {
  const { change } = useURLParams();
  const { data, error, refetch, isFetching } = useQuery({ ...allDownloads, refetchInterval: useFallbackInterval() });
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the downloads" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the downloads" />
    );
  }
  const unfinished = data.items.filter(isUnfinished);
  const ended = data.items.filter((download) => !isUnfinished(download));
  if (data.items.length === 0) {
    return (
      <EmptyState
        icon={DownloadIcon}
        title="No downloads yet"
        description="Models that you download show here with their progress, and go on when you leave the page."
        action={<Button onClick={() => change({ view: null })}>Browse models</Button>}
      />
    );
  }
  return (
    <div className="flex flex-col gap-5">
      <CacheUsage />
      {unfinished.length ? (
        <Section title="Queue">
          <Card>
            <ul className="divide-y">
              {unfinished.map((download) => (
                <DownloadRow key={download.id} download={download} />
              ))}
            </ul>
          </Card>
        </Section>
      ) : null}
      {ended.length ? (
        <Section title="Finished">
          <EndedDownloads downloads={ended} />
        </Section>
      ) : null}
    </div>
  );
}
