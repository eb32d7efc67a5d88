"use client";

import { GitCompare } from "lucide-react";
import dynamic from "next/dynamic";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page, Section } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { Switch } from "@/components/ui/switch";
import { Field } from "@/components/ui/field";
import { useRuns } from "../hooks/use-runs";
import { configRows, resultRows, runNames } from "../lib/compare";
import { readRuns } from "../lib/search-params";
import { CompareTable } from "./compare-table";
import { RunPicker } from "./run-picker";

const CompareCharts = dynamic(() => import("./compare-charts").then((module) => module.CompareCharts), {
  ssr: false,
  loading: () => <LoadingState what="the curves" shape="cards" />,
});

/** Runs side by side: their curves in one chart, how they went, and where their settings differ. `?runs=a,b`. */
export function Compare() {
  const { params, change } = useURLParams();
  const ids = readRuns(params);
  const setRuns = (next: readonly string[]) => change({ runs: next.join(",") || null }, { replaces: true });
  const { runs, failed, retry, isPending } = useRuns(ids);
  return (
    <Page>
      <PageHeader title="Compare runs" description="Curves, results and settings of several jobs side by side." />
      <RunPicker ids={ids} runs={runs} onChange={setRuns} />
      {ids.length === 0 ? (
        <EmptyState
          icon={GitCompare}
          title="Choose the first run"
          description="Add two to five jobs above. The address keeps them, so you can share it."
        />
      ) : null}
      {failed.map(({ id, error }) => (
        <div key={id} className="flex flex-col items-start gap-2">
          <ErrorState error={error} what={`run ${id.slice(-6)}`} onRetry={retry} />
          <Button variant="outline" size="sm" onClick={() => setRuns(ids.filter((other) => other !== id))}>
            Leave it out
          </Button>
        </div>
      ))}
      {runs.length ? <Comparison runs={runs} /> : isPending && ids.length ? <LoadingState what="the runs" /> : null}
    </Page>
  );
}

function Comparison({ runs }: { runs: ReturnType<typeof useRuns>["runs"] }) {
  const { params, change } = useURLParams();
  const isAll = params.get("settings") === "all";
  const names = runNames(runs.map(({ job }) => job));
  const settings = configRows(runs).filter(({ differs }) => isAll || differs);
  return (
    <>
      <CompareCharts runs={runs} names={names} />
      <Section title="Results">
        <CompareTable label="Results of the runs" names={names} rows={resultRows(runs)} runs={runs} />
      </Section>
      <Section
        title="Settings"
        actions={
          <Field inline label="Also what is the same">
            {(control) => (
              <Switch
                {...control}
                checked={isAll}
                onCheckedChange={(checked) => change({ settings: checked ? "all" : null }, { replaces: true })}
              />
            )}
          </Field>
        }
      >
        {settings.length ? (
          <CompareTable label="Settings of the runs" names={names} rows={settings} runs={runs} />
        ) : (
          <p className="text-sm text-muted-foreground">
            {runs.length > 1 ? "All settings are the same." : "Add another run to see where they differ."}
          </p>
        )}
      </Section>
    </>
  );
}
