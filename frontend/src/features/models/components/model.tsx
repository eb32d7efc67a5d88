"use client";

import { useQuery } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { useCrumbLabel } from "@/components/app/crumb-label";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { modelDetail } from "../api";
import { useAdapterSizes, useModelRows } from "../hooks/use-model-rows";
import { type Model as RegisteredModel } from "../lib/model-rows";
import { DependentsCard } from "./dependents-card";
import { FactsCard } from "./facts-card";
import { ModelActions } from "./model-actions";
import { ServingSection } from "./serving-section";
import { StateBadge } from "./state-badge";

const VersionsSection = dynamic(() => import("./versions-section").then((module) => module.VersionsSection), {
  ssr: false,
  loading: () => <LoadingState what="the versions" count={3} />,
});
const AliasesSection = dynamic(() => import("./aliases-section").then((module) => module.AliasesSection), { ssr: false });
const TasksSection = dynamic(() => import("./tasks-section").then((module) => module.TasksSection), { ssr: false });

const TASK_KINDS = ["export", "quantise"];

/** One model of the registry: what answers with it, its versions, and what was made of it. */
export function Model({ id }: { id: string }) {
  const { data, error, refetch, isFetching } = useQuery({ ...modelDetail(id), refetchInterval: useFallbackInterval() });
  useCrumbLabel(data?.name);
  if (data) return <Loaded model={data} />;
  return (
    <Page>
      <PageHeader title="Model" />
      {error ? (
        <ErrorState error={error} what="the model" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the model" />
      )}
    </Page>
  );
}

function Loaded({ model }: { model: RegisteredModel }) {
  const [row] = useAdapterSizes(useModelRows([model]));
  if (!row) return null;
  return (
    <Page>
      <PageHeader
        title={model.name}
        description={model.description || undefined}
        badge={<StateBadge state={row.state} isPinned={row.isPinned} />}
        actions={<ModelActions row={row} />}
      />
      <div className="grid min-w-0 grid-cols-1 items-start gap-5 lg:grid-cols-[minmax(0,1fr)_18rem]">
        <div className="flex min-w-0 flex-col gap-6">
          <ServingSection row={row} />
          {model.type === "adapter" || model.latest_version !== null ? <VersionsSection model={model} /> : null}
          <AliasesSection model={model} />
          <TasksSection title="Exports and quantisations" kinds={TASK_KINDS} subjectId={model.id} />
        </div>
        <div className="flex min-w-0 flex-col gap-4">
          <FactsCard row={row} />
          <DependentsCard modelId={model.id} />
        </div>
      </div>
    </Page>
  );
}
