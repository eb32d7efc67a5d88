"use client";

import dynamic from "next/dynamic";
import { LoadingState } from "@/components/app/loading-state";
import { useURLParams } from "@/components/app/url-params";
import { Badge } from "@/components/ui/badge";
import { Tabs, TabsContent, TabsList, TabsTrigger } from "@/components/ui/tabs";
import { formatCompact } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { useEdits } from "../hooks/use-edits";
import { countEdits } from "../lib/edits";
import { countProblems } from "../lib/labels";
import { readTab, type Tab } from "../lib/search-params";
import { RowsTab } from "./rows-tab";

const loading = () => <LoadingState what="this tab" />;
const ProblemsTab = dynamic(() => import("./problems-tab").then((module) => module.ProblemsTab), { loading });
const PreviewTab = dynamic(() => import("./preview-tab").then((module) => module.PreviewTab), { loading });
const LengthsTab = dynamic(() => import("./lengths-tab").then((module) => module.LengthsTab), { loading });
const DuplicatesTab = dynamic(() => import("./duplicates-tab").then((module) => module.DuplicatesTab), { loading });
const ShapeTab = dynamic(() => import("./shape-tab").then((module) => module.ShapeTab), { loading });

const LABELS: Record<Tab, string> = {
  rows: "Rows",
  problems: "Problems",
  preview: "Preview",
  lengths: "Lengths",
  duplicates: "Duplicates",
  shape: "Split and convert",
};

/** The open tab is in the address; changes of rows outlive a look at another tab. */
export function DatasetTabs({ dataset }: { dataset: Dataset }) {
  const { params, change } = useURLParams();
  const { edits, edit } = useEdits(dataset.id);
  const tab = readTab(params);
  const counts: Partial<Record<Tab, number>> = {
    rows: countEdits(edits).total,
    problems: countProblems(dataset),
    duplicates: dataset.report.num_duplicates ?? 0,
  };
  return (
    <Tabs value={tab} onValueChange={(next) => change({ tab: next === "rows" ? null : next, page: null })}>
      <TabsList aria-label="Views of the dataset">
        {(Object.keys(LABELS) as Tab[]).map((name) => (
          <TabsTrigger key={name} value={name}>
            {LABELS[name]}
            {counts[name] ? (
              <Badge variant={name === "rows" ? "primary" : "neutral"}>{formatCompact(counts[name])}</Badge>
            ) : null}
          </TabsTrigger>
        ))}
      </TabsList>
      <TabsContent value="rows">
        <RowsTab dataset={dataset} edits={edits} edit={edit} />
      </TabsContent>
      <TabsContent value="problems">
        <ProblemsTab dataset={dataset} />
      </TabsContent>
      <TabsContent value="preview">
        <PreviewTab dataset={dataset} />
      </TabsContent>
      <TabsContent value="lengths">
        <LengthsTab dataset={dataset} />
      </TabsContent>
      <TabsContent value="duplicates">
        <DuplicatesTab dataset={dataset} />
      </TabsContent>
      <TabsContent value="shape">
        <ShapeTab dataset={dataset} />
      </TabsContent>
    </Tabs>
  );
}
