"use client";

import { useQuery, type UseQueryOptions } from "@tanstack/react-query";
import { type Column, DataTable } from "@/components/app/data-table";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { Badge } from "@/components/ui/badge";
import { type Setting } from "../api";

interface ServiceSettingsProps {
  title: string;
  query: UseQueryOptions<Setting[], Error, Setting[], string[]>;
}

/** What a service was started with, and the variable that sets each. */
export function ServiceSettings({ title, query }: ServiceSettingsProps) {
  const { data, error, refetch, isFetching } = useQuery(query);
  return (
    <Section
      title={title}
      description="Read when it starts: to change one, set the variable (in .env, say) and start the service again."
    >
      {data ? (
        <DataTable
          label={`Settings of the ${title.toLowerCase()}`}
          columns={COLUMNS}
          rows={data}
          rowKey={(row) => row.variable}
        />
      ) : error ? (
        <ErrorState
          error={error}
          what={`the ${title.toLowerCase()}'s settings`}
          onRetry={() => void refetch()}
          retrying={isFetching}
        />
      ) : (
        <LoadingState what={`the ${title.toLowerCase()}'s settings`} />
      )}
    </Section>
  );
}

const COLUMNS: readonly Column<Setting>[] = [
  { id: "variable", header: "Variable", cell: (row) => <code className="text-xs whitespace-nowrap">{row.variable}</code> },
  { id: "value", header: "Value", className: "max-w-72", cell: (row) => <Value setting={row} /> },
  {
    id: "description",
    header: "What it does",
    className: "min-w-64",
    cell: (row) => <span className="text-xs text-muted-foreground">{row.description}</span>,
  },
];

function Value({ setting }: { setting: Setting }) {
  const { value, is_secret: isSecret } = setting;
  if (isSecret) return <span className="text-xs text-muted-foreground">{value === null ? "Not set" : "Set, not shown"}</span>;
  const isChanged = value !== setting.default;
  return (
    <span className="flex flex-wrap items-center gap-1.5">
      {value === null || value === "" ? (
        <span className="text-xs text-muted-foreground">{value === null ? "By itself" : "None"}</span>
      ) : (
        <code className="text-xs break-all">{value}</code>
      )}
      {isChanged ? (
        <Badge variant="info" title={setting.default === null ? undefined : `Default: ${setting.default}`}>
          Changed
        </Badge>
      ) : null}
    </span>
  );
}
