"use client";

import { useQuery } from "@tanstack/react-query";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { Badge } from "@/components/ui/badge";
import { Tabs, TabsContent, TabsList, TabsTrigger } from "@/components/ui/tabs";
import { allDownloads } from "../api";
import { isUnfinished } from "../lib/download-state";
import { Browse } from "./browse";
import { Downloads } from "./downloads";

export function Discover() {
  const { params, change } = useURLParams();
  const { data } = useQuery(allDownloads);
  const numUnfinished = data?.items.filter(isUnfinished).length ?? 0;
  const view = params.get("view") === "downloads" ? "downloads" : "browse";
  return (
    <Page>
      <PageHeader title="Discover" description="Find MLX models on the hub and see whether they fit this machine." />
      <Tabs value={view} onValueChange={(next) => change({ view: next === "downloads" ? next : null })}>
        <TabsList aria-label="Discover">
          <TabsTrigger value="browse">Browse</TabsTrigger>
          <TabsTrigger value="downloads">
            Downloads
            {numUnfinished ? <Badge variant="primary">{numUnfinished}</Badge> : null}
          </TabsTrigger>
        </TabsList>
        <TabsContent value="browse">
          <Browse />
        </TabsContent>
        <TabsContent value="downloads">
          <Downloads />
        </TabsContent>
      </Tabs>
    </Page>
  );
}
