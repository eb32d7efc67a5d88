"use client";

import { useQuery } from "@tanstack/react-query";
import Link from "next/link";
import { type ReactNode } from "react";
import { StatusBadge } from "@/components/app/status-badge";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { modelDependents } from "../api";

const MAX_SHOWN = 8;

/** What stands on the model, and the jobs that used or made it. Nothing while there is nothing. */
export function DependentsCard({ modelId }: { modelId: string }) {
  const { data } = useQuery(modelDependents(modelId));
  if (!data || data.adapters.length + data.jobs.length === 0) return null;
  return (
    <Card>
      <CardHeader>
        <CardTitle>Related</CardTitle>
      </CardHeader>
      <CardContent className="flex flex-col gap-3 text-sm">
        {data.adapters.length ? (
          <Named title="Models on it">
            {data.adapters.slice(0, MAX_SHOWN).map((adapter) => (
              <li key={adapter.id}>
                <Link href={`/models/${adapter.id}`} className="block truncate hover:underline">
                  {adapter.name}
                </Link>
              </li>
            ))}
            <More total={data.adapters.length} />
          </Named>
        ) : null}
        {data.jobs.length ? (
          <Named title="Training jobs">
            {data.jobs.slice(0, MAX_SHOWN).map((job) => (
              <li key={job.id} className="flex items-center justify-between gap-2">
                <Link href={`/training/${job.id}`} className="min-w-0 truncate hover:underline">
                  {job.name}
                </Link>
                <StatusBadge status={job.status} />
              </li>
            ))}
            <More total={data.jobs.length} />
          </Named>
        ) : null}
      </CardContent>
    </Card>
  );
}

function Named({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="flex flex-col gap-1">
      <h3 className="text-xs text-muted-foreground">{title}</h3>
      <ul aria-label={title} className="flex flex-col gap-1">
        {children}
      </ul>
    </div>
  );
}

function More({ total }: { total: number }) {
  return total > MAX_SHOWN ? <li className="text-xs text-muted-foreground">and {total - MAX_SHOWN} more</li> : null;
}
