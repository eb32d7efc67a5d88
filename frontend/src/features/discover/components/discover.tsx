"use client";

import { useQuery } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { ViewTabs } from "@/components/app/view-tabs";
import { Badge } from "@/components/ui/badge";
import { allDownloads } from "../api";
import { isUnfinished } from "../lib/download-state";
import { Browse } from "./browse";

const Downloads = dynamic(() => import("./downloads").then((module) => module.Downloads), {
  loading: () => <LoadingState what="the downloads" />,
});

export function Discover() {
  const { params } = useURLParams();
  const { data } = useQuery(allDownloads);
  const numUnfinished = data?.items.filter(isUnfinished).length ?? 0;
  const view = params.get("view") === "downloads" ? "downloads" : "browse";
  return (
    <Page>
      <PageHeader title="Discover" description="Find MLX models on the hub and see whether they fit this machine." />
      <ViewTabs
        label="Views of Discover"
        param="view"
        current={view}
        views={[
          { value: "browse", label: "Browse" },
          {
            value: "downloads",
            label: "Downloads",
            extra: numUnfinished ? <Badge variant="primary">{numUnfinished}</Badge> : null,
          },
        ]}
      />
      {view === "browse" ? <Browse /> : <Downloads />}
    </Page>
  );
}
