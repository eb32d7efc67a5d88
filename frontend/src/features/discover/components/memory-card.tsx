"use client";

import { useState } from "react";
import { StackedBar } from "@/components/charts/stacked-bar";
import { Card, CardAction, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type Backend } from "@/lib/api/client";
import { formatBytes, formatBytesOf } from "@/lib/format/bytes";
import { contextBytes, explainFit } from "../lib/fit";
import { FitBadge } from "./fit-badge";

const CONTEXTS = [
  { value: "4096", label: "4K" },
  { value: "16384", label: "16K" },
  { value: "32768", label: "32K" },
  { value: "131072", label: "128K" },
] as const;

type Context = (typeof CONTEXTS)[number]["value"];

/** What serving the model takes, against what this machine has. */
export function MemoryCard({ model }: { model: Backend<"HubModelDetails"> }) {
  const [context, setContext] = useState<Context>("4096");
  const ofContext = contextBytes(model, Number(context));
  const total = model.weight_bytes === null ? null : model.weight_bytes + (ofContext ?? 0);
  return (
    <Card>
      <CardHeader>
        <CardTitle>Memory</CardTitle>
        <CardAction>
          <FitBadge fit={model.fits} />
        </CardAction>
      </CardHeader>
      <CardContent className="flex flex-col gap-3">
        <p className="text-xs text-muted-foreground">{explainFit(model)}</p>
        <StackedBar
          label="Memory it needs, of this machine's"
          total={Math.max(model.machine_memory_bytes, total ?? 0)}
          format={formatBytes}
          segments={[
            { key: "weights", label: "Weights", value: model.weight_bytes },
            { key: "context", label: "Context", value: ofContext },
          ]}
        />
        {ofContext === null ? null : (
          <div className="flex flex-wrap items-center justify-between gap-2 text-xs text-muted-foreground">
            <ToggleGroup aria-label="Tokens of context" value={context} onValueChange={setContext} options={CONTEXTS} />
            <span role="status" className="tabular-nums">
              {formatBytesOf(total ?? 0, model.machine_memory_bytes)}
            </span>
          </div>
        )}
      </CardContent>
    </Card>
  );
}
