"use client";

import { useQuery } from "@tanstack/react-query";
import { Boxes, MessageSquare } from "lucide-react";
import Link from "next/link";
import { servedModels } from "@/components/app/shell-queries";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card, CardContent } from "@/components/ui/card";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger } from "@/lib/format/numbers";
import { adapterVersion } from "../api";
import { type JobDetails } from "../lib/job-state";
import { chatHref, servedNameOf } from "../lib/served-name";

interface JobResultProps {
  job: JobDetails;
  adapterId: string;
  version: number;
}

/** The version that the job made, and the ways to it. */
export function JobResult({ job, adapterId, version }: JobResultProps) {
  const { data } = useQuery(adapterVersion(adapterId, version));
  const { data: served, isError } = useQuery(servedModels);
  const name = data ? servedNameOf(served?.models, { name: job.adapter_name, id: adapterId, aliases: data.aliases }) : null;
  return (
    <Card aria-label="Result">
      <CardContent className="flex flex-wrap items-center justify-between gap-3">
        <div className="flex min-w-0 flex-col gap-1">
          <h2 className="flex min-w-0 flex-wrap items-center gap-2 text-sm font-semibold">
            <span className="min-w-0 break-words">
              {job.adapter_name}, version {formatInteger(version)}
            </span>
            {data?.aliases.map((alias) => (
              <Badge key={alias} variant="primary">
                {alias}
              </Badge>
            ))}
          </h2>
          <p className="text-xs break-words text-muted-foreground">{describe(name, isError, data?.num_bytes, data?.aliases)}</p>
        </div>
        <div className="flex flex-wrap gap-2">
          <Button asChild variant="outline">
            <Link href={`/models/${adapterId}?version=${version}`}>
              <Boxes aria-hidden />
              Open in Models
            </Link>
          </Button>
          {name ? (
            <Button asChild>
              <Link href={chatHref(served?.models, name)}>
                <MessageSquare aria-hidden />
                Chat with it
              </Link>
            </Button>
          ) : null}
        </div>
      </CardContent>
    </Card>
  );
}

function describe(name: string | null, isDown: boolean, numBytes?: number | null, aliases?: readonly string[]): string {
  const size = formatBytes(numBytes);
  if (name) return `${size}, served as ${name}`;
  if (isDown) return `${size}. The inference server does not answer.`;
  if (aliases?.length === 0) return `${size}. Another version is the latest now; give this one an alias to chat with it.`;
  return `${size}. The inference server does not have it yet.`;
}
