"use client";

import { useQuery } from "@tanstack/react-query";
import { Trash2, Undo2 } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { type Column, DataTable } from "@/components/app/data-table";
import { ErrorState } from "@/components/app/error-state";
import { Section } from "@/components/app/page";
import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { type Backend } from "@/lib/api/client";
import { ABSENT } from "@/lib/format/numbers";
import { modelAliases } from "../api";
import { type Model } from "../lib/model-rows";
import { useDeleteAlias, useMoveAlias } from "../mutations";
import { tellPromotion } from "../promotion-toast";

type Alias = Backend<"ModelAliasPublic">;

const ConfirmDialog = dynamic(() => import("@/components/app/confirm-dialog").then((module) => module.ConfirmDialog), {
  ssr: false,
});

/** Names for versions that may move, and the way back. Nothing while there are none. */
export function AliasesSection({ model }: { model: Model }) {
  const { data, error, refetch, isFetching } = useQuery(modelAliases(model.id));
  const [rollingBack, setRollingBack] = useState<Alias | null>(null);
  const [removing, setRemoving] = useState<Alias | null>(null);
  const move = useMoveAlias(model.id);
  const remove = useDeleteAlias(model.id);
  if (!data && error) {
    return <ErrorState error={error} what="the aliases" onRetry={() => void refetch()} retrying={isFetching} />;
  }
  if (!data?.items.length) return null;
  return (
    <Section title="Aliases" description="Clients ask for an alias; which version answers is decided here.">
      <DataTable
        label="Aliases"
        columns={columnsFor(setRollingBack, setRemoving)}
        rows={data.items}
        rowKey={(alias) => alias.alias}
      />
      {rollingBack?.previous_version ? (
        <ConfirmDialog
          open
          onOpenChange={() => setRollingBack(null)}
          title={`Roll ${rollingBack.alias} back to v${rollingBack.previous_version}?`}
          action="Roll back"
          destructive={false}
          onConfirm={async () => {
            const version = rollingBack.previous_version as number;
            tellPromotion(await move.mutateAsync({ alias: rollingBack.alias, version }));
          }}
        >
          {`Who asks for ${rollingBack.served_name} gets v${rollingBack.previous_version} instead of v${rollingBack.version}, from the next request on.`}
        </ConfirmDialog>
      ) : null}
      {removing ? (
        <ConfirmDialog
          open
          onOpenChange={() => setRemoving(null)}
          title={`Remove the alias ${removing.alias}?`}
          action="Remove"
          onConfirm={() => remove.mutateAsync(removing.alias)}
        >
          {`Requests for ${removing.served_name} fail from then on. Version ${removing.version} stays.`}
        </ConfirmDialog>
      ) : null}
    </Section>
  );
}

function columnsFor(onRollBack: (alias: Alias) => void, onRemove: (alias: Alias) => void): Column<Alias>[] {
  return [
    { id: "alias", header: "Alias", cell: (alias) => <Badge variant="primary">{alias.alias}</Badge> },
    { id: "version", header: "Version", cell: (alias) => `v${alias.version}` },
    {
      id: "previous",
      header: "Before",
      className: "hidden sm:table-cell",
      cell: (alias) => (alias.previous_version === null ? ABSENT : `v${alias.previous_version}`),
    },
    {
      id: "served",
      header: "Served as",
      className: "hidden max-w-64 md:table-cell",
      cell: (alias) => <code className="block truncate font-mono text-xs">{alias.served_name}</code>,
    },
    {
      id: "moved",
      header: "Moved",
      className: "hidden whitespace-nowrap md:table-cell",
      cell: (alias) => <RelativeTime at={alias.updated_at} className="text-muted-foreground" />,
    },
    {
      id: "actions",
      header: "Actions",
      headerHidden: true,
      className: "w-0",
      cell: (alias) => (
        <span className="flex justify-end gap-1.5">
          {alias.previous_version === null ? null : (
            <Button size="sm" variant="outline" aria-label={`Roll back ${alias.alias}`} onClick={() => onRollBack(alias)}>
              <Undo2 aria-hidden />
              Roll back
            </Button>
          )}
          <Button size="icon-sm" variant="ghost" aria-label={`Remove the alias ${alias.alias}`} onClick={() => onRemove(alias)}>
            <Trash2 aria-hidden />
          </Button>
        </span>
      ),
    },
  ];
}
