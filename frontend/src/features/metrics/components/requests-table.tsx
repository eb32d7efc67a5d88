"use client";

import { useQuery } from "@tanstack/react-query";
import { CircleStop, MessageSquareDashed } from "lucide-react";
import { useMemo } from "react";
import { type Column, DataTable } from "@/components/app/data-table";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { StatusBadge } from "@/components/app/status-badge";
import { toastSuccess } from "@/components/app/toasts";
import { Button } from "@/components/ui/button";
import { formatInteger } from "@/lib/format/numbers";
import { formatDuration } from "@/lib/format/time";
import { runningRequests, type RunningRequest, useCancelRequest } from "../api";

/** What the inference server works on at this moment. */
export function RequestsTable() {
  const { data, error, refetch, isFetching } = useQuery(runningRequests);
  const cancel = useCancelRequest();
  const { mutate, isPending, variables } = cancel;
  const columns = useMemo(
    () => [
      ...COLUMNS,
      cancelColumn({
        pendingId: isPending ? variables : null,
        onCancel: (id) => mutate(id, { onSuccess: () => toastSuccess("Request cancelled") }),
      }),
    ],
    [mutate, isPending, variables],
  );
  return (
    <Section title="Running requests" description="Of all clients; texts are never shown.">
      {data ? (
        <DataTable
          label="Running requests"
          columns={columns}
          rows={data.requests}
          rowKey={(request) => request.id ?? `${request.model} ${request.age_seconds}`}
          empty={
            <EmptyState
              icon={MessageSquareDashed}
              title="Nothing runs"
              description="Requests appear here while they are answered."
            />
          }
        />
      ) : error ? (
        <ErrorState error={error} what="the running requests" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what="the running requests" count={1} />
      )}
    </Section>
  );
}

const PHASES = {
  queued: { status: "queued", label: "Waiting" },
  prefill: { status: "running", label: "Reading the prompt" },
  decode: { status: "running", label: "Answering" },
};

const COLUMNS: readonly Column<RunningRequest>[] = [
  {
    id: "model",
    header: "Model",
    className: "min-w-40",
    cell: (request) => (
      <span className="flex flex-col gap-0.5">
        <span className="break-all">{request.model}</span>
        {request.id ? <code className="text-xs break-all text-muted-foreground">{request.id}</code> : null}
      </span>
    ),
  },
  {
    id: "phase",
    header: "State",
    cell: (request) => <StatusBadge {...PHASES[request.phase]} {...(request.is_warmup ? { label: "Warming up" } : {})} />,
  },
  { id: "prompt", header: "Prompt tokens", align: "right", cell: (request) => formatInteger(request.prompt_tokens) },
  { id: "cached", header: "From cache", align: "right", cell: (request) => formatInteger(request.cached_tokens) },
  { id: "generated", header: "Generated", align: "right", cell: (request) => formatInteger(request.generated_tokens) },
  {
    id: "age",
    header: "For",
    align: "right",
    className: "whitespace-nowrap",
    cell: (request) => formatDuration(request.age_seconds),
  },
];

interface CancelOptions {
  pendingId: string | null;
  onCancel: (id: string) => void;
}

function cancelColumn({ pendingId, onCancel }: CancelOptions): Column<RunningRequest> {
  return {
    id: "cancel",
    header: "Actions",
    headerHidden: true,
    align: "right",
    cell: ({ id, model }) =>
      id === null ? null : (
        <Button
          variant="outline"
          size="sm"
          aria-label={`Cancel the request to ${model}`}
          pending={pendingId === id}
          onClick={() => onCancel(id)}
        >
          <CircleStop aria-hidden />
          Cancel
        </Button>
      ),
  };
}
