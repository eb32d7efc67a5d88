"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ErrorState } from "@/components/app/error-state";
import { FormDialog } from "@/components/app/form-dialog";
import { LoadingState } from "@/components/app/loading-state";
import { useServing } from "@/components/app/use-serving";
import { StackedBar } from "@/components/charts/stacked-bar";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Checkbox } from "@/components/ui/checkbox";
import { Field } from "@/components/ui/field";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { describeError } from "@/lib/api/errors";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger } from "@/lib/format/numbers";
import { memoryEstimate } from "../api";
import { contextChoices, describeVerdict, type MemoryEstimate } from "../lib/memory-verdict";

interface LoadDialogProps {
  name: string;
  maxContextTokens: number | null;
  onClose: () => void;
}

/** What loading takes, before it is done. */
export function LoadDialog({ name, maxContextTokens, onClose }: LoadDialogProps) {
  const choices = contextChoices(maxContextTokens);
  const [context, setContext] = useState(choices[0] as number);
  const [isPinned, setPinned] = useState(false);
  const { data, error, refetch, isFetching } = useQuery(memoryEstimate(name, context));
  const serving = useServing({ tellsErrors: true });
  return (
    <FormDialog
      title={`Load ${name}?`}
      description="So that its first answer does not wait for it."
      action="Load"
      pending={serving.isPending}
      disabled={data?.verdict === "too_large"}
      message={serving.error ? describeError(serving.error).message : null}
      onSubmit={() => serving.mutate({ name, verb: isPinned ? "pin" : "load" }, { onSuccess: onClose })}
      onClose={onClose}
    >
      {data ? (
        <Estimate estimate={data} />
      ) : error ? (
        <ErrorState error={error} what="the estimate" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the estimate" count={3} />
      )}
      {choices.length > 1 && data?.kv_bytes != null ? (
        <div className="flex flex-wrap items-center justify-between gap-2 text-sm">
          Tokens of context
          <ToggleGroup
            aria-label="Tokens of context"
            value={String(context)}
            onValueChange={(value) => setContext(Number(value))}
            options={choices.map((count) => ({ value: String(count), label: formatInteger(count) }))}
          />
        </div>
      ) : null}
      <Field label="Pin it" inline hint="It stays in memory until it is unpinned.">
        {(control) => <Checkbox {...control} checked={isPinned} onCheckedChange={(checked) => setPinned(checked === true)} />}
      </Field>
    </FormDialog>
  );
}

function Estimate({ estimate }: { estimate: MemoryEstimate }) {
  const { title, text, tone } = describeVerdict(estimate);
  return (
    <div className="flex flex-col gap-3">
      <Alert variant={tone}>
        <AlertTitle className="col-span-2 col-start-1">{title}</AlertTitle>
        <AlertDescription className="col-span-2 col-start-1">{text}</AlertDescription>
      </Alert>
      {estimate.memory_limit_bytes === null ? null : (
        <StackedBar
          label="Memory of the inference server after loading"
          total={Math.max(estimate.memory_limit_bytes, estimate.resident_bytes + (estimate.total_bytes ?? 0))}
          format={formatBytes}
          segments={[
            { key: "resident", label: "Loaded now", value: estimate.resident_bytes, color: "muted" },
            { key: "weights", label: "Weights", value: estimate.verdict === "loaded" ? null : estimate.weight_bytes },
            { key: "context", label: "Context", value: estimate.kv_bytes },
          ]}
        />
      )}
      {estimate.memory_limit_bytes === null ? null : (
        <p className="text-xs text-muted-foreground tabular-nums">
          Of the {formatBytes(estimate.memory_limit_bytes)} that the inference server may use.
        </p>
      )}
    </div>
  );
}
