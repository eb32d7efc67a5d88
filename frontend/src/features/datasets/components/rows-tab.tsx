"use client";

import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import dynamic from "next/dynamic";
import { Fragment, useState } from "react";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { useURLPage } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { Pagination } from "@/components/ui/pagination";
import { type Dataset, datasetRows, type Row } from "../api";
import { type EditAction, type Edits, type EditTarget } from "../lib/edits";
import { emptyLike, type RowContent } from "../lib/row-texts";
import { EditBar } from "./edit-bar";
import { NewRowCard, RowCard } from "./row-card";

const RowDialog = dynamic(() => import("./row-dialog").then((module) => module.RowDialog), { ssr: false });

interface RowsTabProps {
  dataset: Dataset;
  edits: Edits;
  edit: (action: EditAction) => void;
}

/** What the dialog is open for, and what it does when it is done. */
interface Editing {
  title: string;
  content: RowContent;
  save: (content: RowContent) => void;
}

const NO_OBJECTIONS: ReadonlyMap<EditTarget, string> = new Map();

/** Rows as they stand, with the changes that are not saved yet. */
export function RowsTab({ dataset, edits, edit }: RowsTabProps) {
  const { page, setPage } = useURLPage();
  const { data, error, refetch, isFetching } = useQuery(datasetRows(dataset.id, page));
  const [editing, setEditing] = useState<Editing | null>(null);
  const [objections, setObjections] = useState(NO_OBJECTIONS);
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the rows" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the rows" />
    );
  }

  const changeRows = (action: EditAction) => {
    setObjections(NO_OBJECTIONS);
    edit(action);
  };
  const openNew = (before: number, like: RowContent | null) =>
    setEditing({
      title: "New row",
      content: emptyLike(like),
      save: (content) => changeRows({ do: "add", key: crypto.getRandomValues(new Uint32Array(2)).join("-"), before, content }),
    });
  const openRow = (row: Row, content: RowContent) =>
    setEditing({
      title: `Row ${row.row_number}`,
      content,
      save: (next) => changeRows({ do: "replace", row: row.row_number, content: next }),
    });
  const newRowsBefore = (number: number) =>
    edits.added
      .filter((added) => added.before === number)
      .map((added) => (
        <NewRowCard
          key={added.key}
          content={added.content}
          objection={objections.get(added.key)}
          onEdit={() =>
            setEditing({
              title: "New row",
              content: added.content,
              save: (content) => changeRows({ do: "rewrite", key: added.key, content }),
            })
          }
          onDrop={() => changeRows({ do: "drop", key: added.key })}
        />
      ));
  const isLastPage = page * data.page_size >= data.total;
  const end = data.total + 1;

  return (
    <div className="flex flex-col gap-3">
      <ol aria-label="Rows" className="flex flex-col gap-2">
        {data.items.map((row) => (
          <Fragment key={row.row_number}>
            {newRowsBefore(row.row_number)}
            <RowCard
              row={row}
              change={edits.changed.get(row.row_number)}
              objection={objections.get(row.row_number)}
              onEdit={(content) => openRow(row, content)}
              onDelete={() => changeRows({ do: "delete", row: row.row_number })}
              onKeep={() => changeRows({ do: "keep", row: row.row_number })}
              onInsert={() => openNew(row.row_number, row.row)}
            />
          </Fragment>
        ))}
        {isLastPage ? newRowsBefore(end) : null}
      </ol>
      <div className="flex flex-wrap items-center justify-between gap-3">
        <Button variant="outline" size="sm" onClick={() => openNew(end, data.items.at(-1)?.row ?? null)}>
          <Plus aria-hidden />
          Add a row at the end
        </Button>
        <Pagination page={page} pageSize={data.page_size} total={data.total} noun="rows" onPageChange={setPage} />
      </div>
      <EditBar dataset={dataset} edits={edits} onDiscard={() => changeRows({ do: "clear" })} onObjections={setObjections} />
      {editing ? (
        <RowDialog title={editing.title} content={editing.content} onSave={editing.save} onClose={() => setEditing(null)} />
      ) : null}
    </div>
  );
}
