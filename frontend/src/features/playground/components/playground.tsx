"use client";

import dynamic from "next/dynamic";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";

// Drawn by the browser alone: it begins with what this browser has stored.
const Workspace = dynamic(() => import("./workspace").then((module) => module.Workspace), {
  ssr: false,
  loading: () => (
    <Page>
      <PageHeader title="Playground" />
      <LoadingState what="the playground" shape="page" />
    </Page>
  ),
});

export function Playground() {
  return <Workspace />;
}
