"use client";

import Link from "next/link";
import { ByteSize } from "@/components/app/byte-size";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { ABSENT, formatInteger } from "@/lib/format/numbers";
import { type ModelRow } from "../lib/model-rows";

/** What the registry and the inference server know of a model. */
export function FactsCard({ row }: { row: ModelRow }) {
  const { model } = row;
  const tags = Object.entries(model.tags);
  const facts = [
    ["Kind", model.type === "adapter" ? "Adapter" : "Base model"],
    ["Base", <BaseName key="base" row={row} />],
    ["Size", <ByteSize key="size" bytes={row.numBytes} />],
    ["Quantisation", row.quantization ?? ABSENT],
    ["Context", formatInteger(row.servedNames[0]?.served.max_context_tokens)],
    ["Task", model.task_type],
    ["Added", <RelativeTime key="added" at={model.created_at} />],
    ["Last used", <RelativeTime key="used" at={row.lastUsedAt} />],
  ] as const;
  return (
    <Card>
      <CardHeader>
        <CardTitle>About</CardTitle>
      </CardHeader>
      <CardContent className="flex flex-col gap-3">
        <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1.5 text-sm">
          {facts.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-muted-foreground">{name}</dt>
              <dd className="min-w-0 text-right break-words">{value}</dd>
            </div>
          ))}
        </dl>
        {tags.length ? (
          <ul aria-label="Tags" className="flex flex-wrap gap-1">
            {tags.map(([name, value]) => (
              <li key={name} className="min-w-0">
                <Badge variant="outline" className="max-w-full">
                  <span className="truncate">{value ? `${name}: ${value}` : name}</span>
                </Badge>
              </li>
            ))}
          </ul>
        ) : null}
      </CardContent>
    </Card>
  );
}

function BaseName({ row: { model } }: { row: ModelRow }) {
  if (!model.base_model_id) return model.base_model;
  return (
    <Link href={`/models/${model.base_model_id}`} className="text-primary-text underline underline-offset-4">
      {model.base_model}
    </Link>
  );
}
