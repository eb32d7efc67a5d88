"use client";

import { CircleAlert, ListPlus, Pencil, Trash2, Undo2 } from "lucide-react";
import { type ReactNode } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { formatInteger } from "@/lib/format/numbers";
import { type Row } from "../api";
import { USABLE_PROBLEMS } from "../lib/labels";
import { type RowContent } from "../lib/row-texts";
import { RowTexts } from "./row-texts-view";

interface RowCardProps {
  row: Row;
  /** What it becomes; null deletes it, undefined leaves it. */
  change: RowContent | null | undefined;
  /** Why the backend does not take the change. */
  objection: string | undefined;
  onEdit: (content: RowContent) => void;
  onDelete: () => void;
  onKeep: () => void;
  onInsert: () => void;
}

export function RowCard({ row, change, objection, onEdit, onDelete, onKeep, onInsert }: RowCardProps) {
  const name = `row ${row.row_number}`;
  const content = change ?? row.row;
  const isDeleted = change === null;
  return (
    <Card
      label={`Row ${row.row_number}`}
      tone={isDeleted ? "deleted" : change ? "changed" : "plain"}
      head={
        <>
          <span className="font-medium text-foreground">{formatInteger(row.row_number)}</span>
          <span>line {formatInteger(row.line)}</span>
          <ByteSize bytes={row.num_bytes} />
          {isDeleted ? <Badge variant="destructive">Deleted</Badge> : change ? <Badge variant="primary">Edited</Badge> : null}
        </>
      }
      actions={
        <>
          {change === undefined ? null : (
            <Action label={`Undo the change of ${name}`} icon={<Undo2 aria-hidden />} onClick={onKeep} />
          )}
          <Action label={`Insert a row before ${name}`} icon={<ListPlus aria-hidden />} onClick={onInsert} />
          {isDeleted ? null : (
            <>
              <Action label={`Edit ${name}`} icon={<Pencil aria-hidden />} onClick={() => onEdit(content ?? {})} />
              <Action label={`Delete ${name}`} icon={<Trash2 aria-hidden />} onClick={onDelete} />
            </>
          )}
        </>
      }
      objection={objection}
    >
      {row.problem && !change ? (
        <Note tone={USABLE_PROBLEMS.has(row.problem.code) ? "warning" : "destructive"}>{row.problem.message}</Note>
      ) : null}
      {content ? (
        <RowTexts row={content} />
      ) : (
        <pre className="font-mono text-xs break-all whitespace-pre-wrap">{row.start}</pre>
      )}
    </Card>
  );
}

interface NewRowCardProps {
  content: RowContent;
  objection: string | undefined;
  onEdit: () => void;
  onDrop: () => void;
}

export function NewRowCard({ content, objection, onEdit, onDrop }: NewRowCardProps) {
  return (
    <Card
      label="New row"
      tone="changed"
      head={<Badge variant="primary">New</Badge>}
      actions={
        <>
          <Action label="Edit the new row" icon={<Pencil aria-hidden />} onClick={onEdit} />
          <Action label="Drop the new row" icon={<Undo2 aria-hidden />} onClick={onDrop} />
        </>
      }
      objection={objection}
    >
      <RowTexts row={content} />
    </Card>
  );
}

interface CardProps {
  label: string;
  tone: "plain" | "changed" | "deleted";
  head: ReactNode;
  actions: ReactNode;
  objection: string | undefined;
  children: ReactNode;
}

function Card({ label, tone, head, actions, objection, children }: CardProps) {
  return (
    <li
      aria-label={label}
      className={cn(
        "flex min-w-0 flex-col gap-2 rounded-lg border bg-card px-4 py-2.5 shadow-xs",
        tone === "changed" && "border-primary",
        tone === "deleted" && "border-dashed",
      )}
    >
      <div className="flex flex-wrap items-center justify-between gap-2">
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted-foreground tabular-nums">{head}</div>
        <div className="flex items-center gap-0.5">{actions}</div>
      </div>
      {objection ? (
        <Note tone="destructive" isUrgent>
          {objection}
        </Note>
      ) : null}
      <div className={cn("flex min-w-0 flex-col gap-1.5", tone === "deleted" && "text-muted-foreground line-through")}>
        {children}
      </div>
    </li>
  );
}

function Action({ label, icon, onClick }: { label: string; icon: ReactNode; onClick: () => void }) {
  return (
    <Button variant="ghost" size="icon-sm" aria-label={label} title={label} onClick={onClick}>
      {icon}
    </Button>
  );
}

function Note({ tone, isUrgent, children }: { tone: "warning" | "destructive"; isUrgent?: boolean; children: ReactNode }) {
  return (
    <p
      role={isUrgent ? "alert" : undefined}
      className={cn("flex items-start gap-1.5 text-xs", tone === "warning" ? "text-warning" : "text-destructive")}
    >
      <CircleAlert aria-hidden className="mt-px size-3.5 shrink-0" />
      <span className="min-w-0 break-words">{children}</span>
    </p>
  );
}
