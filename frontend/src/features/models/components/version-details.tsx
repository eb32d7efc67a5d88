"use client";

import { useQuery } from "@tanstack/react-query";
import { ExternalLink, X } from "lucide-react";
import Link from "next/link";
import { type ReactNode } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { CopyButton } from "@/components/app/copy-button";
import { Button } from "@/components/ui/button";
import { Card, CardAction, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { ABSENT, formatInteger } from "@/lib/format/numbers";
import { formatDateTime } from "@/lib/format/time";
import { systemState } from "../api";
import { formatValue, humanise, readMetrics } from "../lib/compare";
import { type Version } from "../lib/model-rows";
import { SamplesList } from "./samples-list";

interface VersionDetailsProps {
  version: Version;
  onClose: () => void;
}

/** All that a version came from, and how well it does. */
export function VersionDetails({ version, onClose }: VersionDetailsProps) {
  return (
    <Card aria-label={`Version ${version.version}`}>
      <CardHeader>
        <CardTitle>Version {version.version}</CardTitle>
        <CardAction>
          <Button variant="ghost" size="icon-sm" aria-label={`Close the details of v${version.version}`} onClick={onClose}>
            <X aria-hidden />
          </Button>
        </CardAction>
      </CardHeader>
      <CardContent className="flex flex-col gap-5">
        <div className="grid gap-5 md:grid-cols-3">
          <Facts title="Lineage" facts={useLineage(version)} />
          <Facts title="Result" facts={readMetrics(version)} />
          <Facts title="Configuration" facts={entriesOf(version.config)} />
        </div>
        <SamplesList samples={version.samples} />
      </CardContent>
    </Card>
  );
}

type Fact = readonly [name: string, value: ReactNode];

function entriesOf(record: Record<string, unknown>): Fact[] {
  return Object.entries(record).map(([name, value]) => [humanise(name), formatValue(value)]);
}

function useLineage(version: Version): Fact[] {
  const { data: system } = useQuery(systemState);
  const mlflow = system?.mlflow.ui_url;
  return [
    ["Added", formatDateTime(version.created_at)],
    ["Size", <ByteSize key="size" bytes={version.num_bytes} />],
    ["Base commit", <Hash key="commit" hash={version.base_commit} name="base commit" />],
    ["Dataset", version.dataset_id ? <AppLink key="dataset" href={`/datasets/${version.dataset_id}`} text="Open" /> : ABSENT],
    ["Data sha256", <Hash key="data" hash={version.dataset_sha256} name="sha256 of the data" />],
    ["Weights sha256", <Hash key="weights" hash={version.sha256} name="sha256 of the weights" />],
    ["Seed", formatInteger(version.seed)],
    ["Code", version.code_version ?? ABSENT],
    ["Training", version.job_id ? <AppLink key="job" href={`/training/${version.job_id}`} text="Open the job" /> : ABSENT],
    [
      "MLflow",
      version.mlflow_run_id && mlflow ? (
        <a
          key="mlflow"
          href={`${mlflow.replace(/\/+$/, "")}/#/runs/${version.mlflow_run_id}`}
          target="_blank"
          rel="noreferrer noopener"
          className="inline-flex items-center gap-1 text-primary-text underline underline-offset-4"
        >
          Open the run
          <ExternalLink aria-hidden className="size-3" />
        </a>
      ) : (
        <Hash key="run" hash={version.mlflow_run_id} name="MLflow run" />
      ),
    ],
  ];
}

function Facts({ title, facts }: { title: string; facts: readonly Fact[] }) {
  return (
    <div className="flex min-w-0 flex-col gap-2">
      <h3 className="text-xs font-medium text-muted-foreground">{title}</h3>
      {facts.length ? (
        <dl className="grid grid-cols-[minmax(0,auto)_minmax(0,1fr)] items-center gap-x-3 gap-y-1 text-xs">
          {facts.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-muted-foreground">{name}</dt>
              <dd className="min-w-0 text-right break-words tabular-nums">{value}</dd>
            </div>
          ))}
        </dl>
      ) : (
        <p className="text-xs text-muted-foreground">Nothing is known.</p>
      )}
    </div>
  );
}

function Hash({ hash, name }: { hash: string | null; name: string }) {
  if (!hash) return ABSENT;
  return (
    <span className="inline-flex items-center justify-end gap-0.5">
      <code className="font-mono" title={hash}>
        {hash.slice(0, 10)}
      </code>
      <CopyButton text={hash} label={`Copy ${name}`} className="size-6" />
    </span>
  );
}

function AppLink({ href, text }: { href: string; text: string }) {
  return (
    <Link href={href} className="text-primary-text underline underline-offset-4">
      {text}
    </Link>
  );
}
