"use client";

import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable } from "@/components/app/data-table";
import { RelativeTime } from "@/components/app/relative-time";
import { type Backend } from "@/lib/api/client";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { ABSENT, formatCompact, formatParameters } from "@/lib/format/numbers";
import { allDownloads, systemState } from "../api";
import { byRepository, type Download } from "../lib/download-state";
import { FitBadge } from "./fit-badge";
import { GatedBadge } from "./gated-badge";
import { HereBadge } from "./here-badge";

type HubModel = Backend<"HubModelPublic">;

interface HubTableProps {
  label: string;
  models: readonly HubModel[];
}

/** Models of the hub, with what is known of each here: does it fit, is it here already. */
export function HubTable({ label, models }: HubTableProps) {
  const { data: downloads } = useQuery({ ...allDownloads, refetchInterval: useFallbackInterval() });
  const { data: system } = useQuery(systemState);
  const machineBytes = system?.host.memory_total_bytes;
  const columns = useMemo(
    () => columnsFor(byRepository(downloads?.items ?? []), machineBytes),
    [downloads?.items, machineBytes],
  );
  return (
    <DataTable
      label={label}
      columns={columns}
      rows={models}
      rowKey={(model) => model.repo_id}
      href={(model) => `/discover/${model.repo_id}`}
    />
  );
}

function columnsFor(downloads: Map<string, Download>, machineBytes: number | null | undefined): Column<HubModel>[] {
  return [
    { id: "name", header: "Model", cell: nameCell, className: "max-w-48 sm:max-w-64 md:max-w-88" },
    {
      id: "fits",
      header: "This machine",
      cell: (model) => <FitBadge fit={model.fits} neededBytes={model.weight_bytes} machineBytes={machineBytes} />,
    },
    { id: "size", header: "Size", align: "right", cell: (model) => <ByteSize bytes={model.weight_bytes} /> },
    {
      id: "parameters",
      header: "Parameters",
      align: "right",
      className: "hidden md:table-cell",
      cell: (model) => formatParameters(model.num_parameters),
    },
    {
      id: "quantization",
      header: "Quantisation",
      className: "hidden md:table-cell",
      cell: (model) => model.quantization ?? ABSENT,
    },
    {
      id: "downloads",
      header: "Downloads",
      align: "right",
      className: "hidden lg:table-cell",
      cell: (model) => formatCompact(model.downloads),
    },
    {
      id: "modified",
      header: "Updated",
      className: "hidden whitespace-nowrap xl:table-cell",
      cell: (model) => <RelativeTime at={model.modified_at} className="text-muted-foreground" />,
    },
    { id: "here", header: "Status", cell: (model) => <HereBadge download={downloads.get(model.repo_id)} /> },
  ];
}

function nameCell(model: HubModel) {
  return (
    <span className="flex min-w-0 flex-col">
      <span className="flex min-w-0 items-center gap-1.5">
        <span className="truncate">{model.name}</span> {model.is_gated ? <GatedBadge /> : null}
      </span>
      <span className="truncate text-xs font-normal text-muted-foreground">{model.author}</span>
    </span>
  );
}
