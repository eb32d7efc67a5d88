"use client";

import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { hubMetrics, LIVE_MS, servingMetrics } from "@/components/app/metrics-queries";
import { Page, Section } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { toMarks } from "../lib/marks";
import { AcceleratorSection } from "./accelerator-section";
import { ElsewhereLinks } from "./elsewhere-links";
import { HostCharts } from "./host-charts";
import { RequestsTable } from "./requests-table";
import { ServingCharts } from "./serving-charts";
import { TrainingCharts } from "./training-charts";

/** The machine and both services over the last fifteen minutes, second by second. */
export function Metrics() {
  // Not asked for while the tab is hidden.
  const serving = useQuery({ ...servingMetrics, refetchInterval: LIVE_MS });
  const hub = useQuery({ ...hubMetrics, refetchInterval: LIVE_MS });
  const marks = useMemo(() => toMarks(serving.data?.events ?? [], hub.data?.events ?? []), [serving.data, hub.data]);
  // Both services run on this machine; either can tell how it is.
  const machine = serving.data ?? hub.data;
  return (
    <Page>
      <PageHeader
        title="Metrics"
        description="This machine and both services, over the last fifteen minutes."
        actions={<ElsewhereLinks />}
      />
      {machine ? (
        <AcceleratorSection metrics={machine} limitBytes={serving.data?.memory_limit_bytes ?? null} marks={marks} />
      ) : serving.isPending || hub.isPending ? (
        <LoadingState what="the figures" shape="cards" count={4} />
      ) : null}
      <Section title="Answers" description="Of the inference server.">
        {serving.data ? (
          <ServingCharts metrics={serving.data} marks={marks} />
        ) : serving.error ? (
          <ErrorState
            error={serving.error}
            what="the inference server's figures"
            onRetry={() => void serving.refetch()}
            retrying={serving.isFetching}
          />
        ) : (
          <LoadingState what="the inference server's figures" shape="cards" count={4} />
        )}
      </Section>
      <RequestsTable />
      {machine ? <HostCharts metrics={machine} marks={marks} /> : null}
      <Section title="Training" description="Of the jobs on this machine.">
        {hub.data ? (
          <TrainingCharts metrics={hub.data} marks={marks} />
        ) : hub.error ? (
          <ErrorState
            error={hub.error}
            what="the training figures"
            onRetry={() => void hub.refetch()}
            retrying={hub.isFetching}
          />
        ) : (
          <LoadingState what="the training figures" shape="cards" count={2} />
        )}
      </Section>
    </Page>
  );
}
