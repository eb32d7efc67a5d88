"use client";

import { useQuery } from "@tanstack/react-query";
import { Compass, Download, Sparkles } from "lucide-react";
import Link from "next/link";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Button } from "@/components/ui/button";
import { Card, CardContent, CardDescription, CardFooter, CardHeader, CardTitle } from "@/components/ui/card";
import { formatBytes } from "@/lib/format/bytes";
import { formatCompact, formatParameters } from "@/lib/format/numbers";
import { type HubModel, popularThatFit, systemState, useDownload } from "../api";

/** Before there is any model: a few that this machine can run, one click away. */
export function FirstRun() {
  const { data: system } = useQuery(systemState);
  const { data, error, refetch, isFetching } = useQuery(popularThatFit);
  const memory = system?.host.memory_total_bytes ?? null;
  return (
    <Card>
      <CardHeader>
        <CardTitle className="flex items-center gap-2 text-base">
          <Sparkles aria-hidden className="size-4 text-primary-text" />
          Choose your first model
        </CardTitle>
        <CardDescription className="text-sm">
          {memory === null ? "These fit this machine" : `These fit this machine's ${formatBytes(memory)} of memory`}, the most
          downloaded first. It is served as soon as it is here.
        </CardDescription>
      </CardHeader>
      <CardContent>
        {data ? (
          data.items.length ? (
            <ul aria-label="Models that fit" className="grid gap-3 md:grid-cols-3">
              {data.items.map((model) => (
                <FittingModel key={model.repo_id} model={model} />
              ))}
            </ul>
          ) : (
            <p className="text-sm text-muted-foreground">
              The hub lists no model that surely fits. Discover shows all of them.
            </p>
          )
        ) : error ? (
          <ErrorState error={error} what="models of the hub" onRetry={() => void refetch()} retrying={isFetching} />
        ) : (
          <LoadingState what="models that fit" shape="cards" count={3} />
        )}
      </CardContent>
      <CardFooter>
        <Button variant="link" asChild>
          <Link href="/discover">
            <Compass aria-hidden />
            See all models
          </Link>
        </Button>
      </CardFooter>
    </Card>
  );
}

function FittingModel({ model }: { model: HubModel }) {
  const download = useDownload();
  const facts = [
    model.num_parameters === null ? null : `${formatParameters(model.num_parameters)} parameters`,
    model.quantization,
    model.weight_bytes === null ? null : formatBytes(model.weight_bytes),
    `${formatCompact(model.downloads)} downloads`,
  ];
  return (
    <li className="flex min-w-0 flex-col gap-2 rounded-lg border p-3">
      <Link href={`/discover/${model.repo_id}`} className="rounded-sm text-sm font-medium break-words hover:underline">
        {model.name}
      </Link>
      <p className="text-xs text-muted-foreground">{facts.filter(Boolean).join(" · ")}</p>
      <Button
        variant="outline"
        size="sm"
        className="mt-auto w-fit"
        aria-label={`Download ${model.repo_id}`}
        pending={download.isPending}
        disabled={download.isSuccess}
        onClick={() => download.mutate(model.repo_id)}
      >
        <Download aria-hidden />
        {download.isSuccess ? "On its way" : "Download"}
      </Button>
    </li>
  );
}
