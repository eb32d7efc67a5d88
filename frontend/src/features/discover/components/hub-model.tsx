"use client";

import { useQuery } from "@tanstack/react-query";
import { ExternalLink } from "lucide-react";
import dynamic from "next/dynamic";
import { useCrumbLabel } from "@/components/app/crumb-label";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { ViewTabs } from "@/components/app/view-tabs";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Skeleton } from "@/components/ui/skeleton";
import { type Backend } from "@/lib/api/client";
import { formatInteger } from "@/lib/format/numbers";
import { hubModel } from "../api";
import { DownloadPanel } from "./download-panel";
import { FactsCard } from "./facts-card";
import { GatedBadge } from "./gated-badge";
import { GatedNotice } from "./gated-notice";
import { ModelCard } from "./model-card";

const FilesTable = dynamic(() => import("./files-table").then((module) => module.FilesTable), {
  loading: () => <LoadingState what="the files" />,
});
const MemoryCard = dynamic(() => import("./memory-card").then((module) => module.MemoryCard), {
  ssr: false,
  loading: () => <Skeleton className="h-44 rounded-xl" />,
});

/** One model of the hub: does it fit, what is in it, and the way to get it. */
export function HubModel({ repoId }: { repoId: string }) {
  const { data, error, refetch, isFetching } = useQuery(hubModel(repoId));
  const name = repoId.split("/")[1] ?? repoId;
  useCrumbLabel(name);
  return (
    <Page>
      <PageHeader
        title={name}
        description={repoId}
        badge={
          <>
            {data?.quantization ? <Badge variant="primary">{data.quantization}</Badge> : null}
            {data?.is_gated ? <GatedBadge /> : null}
          </>
        }
        actions={
          data ? (
            <Button asChild variant="outline">
              <a href={data.url} target="_blank" rel="noreferrer noopener">
                <ExternalLink aria-hidden />
                Open on the hub
                <span className="sr-only">(opens a new tab)</span>
              </a>
            </Button>
          ) : null
        }
      />
      {data ? (
        <>
          {data.has_access ? null : <GatedNotice model={data} onCheck={() => void refetch()} checking={isFetching} />}
          <Details model={data} />
        </>
      ) : error ? (
        <ErrorState error={error} what={`the model ${repoId}`} onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what={`the model ${repoId}`} />
      )}
    </Page>
  );
}

function Details({ model }: { model: Backend<"HubModelDetails"> }) {
  const { params } = useURLParams();
  const tab = params.get("tab") === "files" ? "files" : "card";
  return (
    <div className="grid min-w-0 grid-cols-1 items-start gap-5 lg:grid-cols-[minmax(0,1fr)_20rem]">
      <div className="flex min-w-0 flex-col gap-4 lg:order-last">
        <DownloadPanel model={model} />
        <MemoryCard model={model} />
        <FactsCard model={model} />
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <ViewTabs
          label="About the model"
          param="tab"
          current={tab}
          views={[
            { value: "card", label: "Card" },
            {
              value: "files",
              label: "Files",
              extra: <span className="text-xs tabular-nums">{formatInteger(model.files.length)}</span>,
            },
          ]}
        />
        {tab === "card" ? <ModelCard model={model} /> : <FilesTable model={model} />}
      </div>
    </div>
  );
}
