"use client";

import { ArrowUpRight, PackageOpen } from "lucide-react";
import { ByteSize } from "@/components/app/byte-size";
import { type Column, DataTable } from "@/components/app/data-table";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Checkbox } from "@/components/ui/checkbox";
import { formatNumber } from "@/lib/format/numbers";
import { type Version } from "../lib/model-rows";

interface VersionsTableProps {
  versions: readonly Version[];
  openVersion: number | null;
  onOpen: (version: number) => void;
  /** Numbers of at most two to compare. */
  chosen: readonly number[];
  onChoose: (chosen: number[]) => void;
  onPromote: (version: Version) => void;
  onExport: (version: Version) => void;
}

export function VersionsTable(props: VersionsTableProps) {
  return (
    <DataTable
      label="Versions"
      columns={columnsFor(props)}
      rows={props.versions}
      rowKey={(version) => String(version.version)}
      selectedKey={props.openVersion === null ? null : String(props.openVersion)}
    />
  );
}

function columnsFor(props: VersionsTableProps): Column<Version>[] {
  const { versions, openVersion, onOpen, chosen, onChoose, onPromote, onExport } = props;
  const compare: Column<Version> = {
    id: "compare",
    header: "Compare",
    headerHidden: true,
    className: "w-10",
    cell: ({ version }) => (
      <Checkbox
        aria-label={`Compare v${version}`}
        checked={chosen.includes(version)}
        // A third one takes the place of the first.
        onCheckedChange={(isOn) =>
          onChoose(isOn === true ? [...chosen, version].slice(-2) : chosen.filter((each) => each !== version))
        }
      />
    ),
  };
  return [
    ...(versions.length > 1 ? [compare] : []),
    {
      id: "version",
      header: "Version",
      cell: (version) => (
        <span className="flex flex-wrap items-center gap-1.5">
          <button
            type="button"
            aria-expanded={openVersion === version.version}
            aria-label={`Details of v${version.version}`}
            className="min-h-6 rounded-sm font-medium underline-offset-4 hover:underline"
            onClick={() => onOpen(version.version)}
          >
            v{version.version}
          </button>
          {version.aliases.map((alias) => (
            <Badge key={alias} variant={alias === "latest" ? "outline" : "primary"}>
              {alias}
            </Badge>
          ))}
        </span>
      ),
    },
    { id: "loss", header: "Loss", align: "right", cell: (version) => numberOf(version, "adapter_loss", "train_loss") },
    {
      id: "base-loss",
      header: "Loss of base",
      align: "right",
      className: "hidden sm:table-cell",
      cell: (version) => numberOf(version, "base_loss"),
    },
    { id: "outcome", header: "Outcome", className: "hidden sm:table-cell", cell: outcomeCell },
    {
      id: "size",
      header: "Size",
      align: "right",
      className: "hidden md:table-cell",
      cell: (version) => <ByteSize bytes={version.num_bytes} />,
    },
    {
      id: "created",
      header: "Added",
      className: "hidden whitespace-nowrap md:table-cell",
      cell: (version) => <RelativeTime at={version.created_at} className="text-muted-foreground" />,
    },
    {
      id: "actions",
      header: "Actions",
      headerHidden: true,
      className: "w-0",
      cell: (version) => (
        <span className="flex justify-end gap-1.5">
          <Button size="sm" variant="outline" aria-label={`Promote v${version.version}`} onClick={() => onPromote(version)}>
            <ArrowUpRight aria-hidden />
            Promote
          </Button>
          <Button size="sm" variant="ghost" aria-label={`Export v${version.version}`} onClick={() => onExport(version)}>
            <PackageOpen aria-hidden />
            Export
          </Button>
        </span>
      ),
    },
  ];
}

/** The first of the metrics that is a number. */
function numberOf({ metrics }: Version, ...names: string[]): string {
  const found = names.map((name) => metrics[name]).find((value) => typeof value === "number");
  return formatNumber(found as number | undefined);
}

function outcomeCell({ metrics }: Version) {
  if (metrics.is_better === true) return <Badge variant="success">Better than its base</Badge>;
  if (metrics.is_better === false) return <Badge variant="warning">Not better</Badge>;
  return <span className="text-xs text-muted-foreground">not measured</span>;
}
