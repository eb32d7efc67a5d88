"use client";

import { useQuery } from "@tanstack/react-query";
import { GitCompare, Layers } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { modelVersions } from "../api";
import { type Model, type Version } from "../lib/model-rows";
import { readCompared, readVersion } from "../lib/search-params";
import { CompareVersions } from "./compare-versions";
import { VersionDetails } from "./version-details";
import { VersionsTable } from "./versions-table";

const PromoteDialog = dynamic(() => import("./promote-dialog").then((module) => module.PromoteDialog), { ssr: false });
const ExportDialog = dynamic(() => import("./export-dialog").then((module) => module.ExportDialog), { ssr: false });

/** Versions with what they came from; two of them side by side. What is open is in the address. */
export function VersionsSection({ model }: { model: Model }) {
  const { change } = useURLParams();
  const { data, error, refetch, isFetching } = useQuery(modelVersions(model.id));
  const [chosen, setChosen] = useState<number[]>([]);
  const versions = data?.items ?? [];
  const canCompare = versions.length > 1;
  return (
    <Section
      title="Versions"
      description={canCompare ? "Choose two to see them side by side." : undefined}
      actions={
        canCompare ? (
          <Button
            size="sm"
            variant="outline"
            disabled={chosen.length !== 2}
            onClick={() => change({ compare: chosen.join(","), version: null })}
          >
            <GitCompare aria-hidden />
            Compare
          </Button>
        ) : null
      }
    >
      {versions.length ? (
        <VersionsView model={model} versions={versions} chosen={chosen} onChoose={setChosen} />
      ) : data ? (
        <NoVersions />
      ) : error ? (
        <ErrorState error={error} what="the versions" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the versions" count={3} />
      )}
    </Section>
  );
}

interface VersionsViewProps {
  model: Model;
  versions: readonly Version[];
  chosen: number[];
  onChoose: (chosen: number[]) => void;
}

function VersionsView({ model, versions, chosen, onChoose }: VersionsViewProps) {
  const { params, change } = useURLParams();
  const [asking, setAsking] = useState<{ for: "promote" | "export"; version: Version } | null>(null);
  const find = (number: number | null) => versions.find((version) => version.version === number);
  const open = find(readVersion(params));
  const [first, second] = readCompared(params)?.map(find) ?? [];
  const close = () => setAsking(null);
  return (
    <>
      <VersionsTable
        versions={versions}
        openVersion={open?.version ?? null}
        onOpen={(version) => change({ version: open?.version === version ? null : String(version), compare: null })}
        chosen={chosen}
        onChoose={onChoose}
        onPromote={(version) => setAsking({ for: "promote", version })}
        onExport={(version) => setAsking({ for: "export", version })}
      />
      {open ? <VersionDetails version={open} onClose={() => change({ version: null })} /> : null}
      {first && second ? <CompareVersions versions={[first, second]} onClose={() => change({ compare: null })} /> : null}
      {asking?.for === "promote" ? <PromoteDialog model={model} version={asking.version.version} onClose={close} /> : null}
      {asking?.for === "export" ? <ExportDialog model={model} version={asking.version} onClose={close} /> : null}
    </>
  );
}

function NoVersions() {
  return (
    <EmptyState
      icon={Layers}
      title="No versions yet"
      description="Each training that ends well adds one, with all that it came from."
      action={
        <Button asChild variant="outline">
          <Link href="/training/new">Train one</Link>
        </Button>
      }
    />
  );
}
