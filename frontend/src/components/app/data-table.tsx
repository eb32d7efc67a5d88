"use client";

import { ArrowDown, ArrowUp, ChevronsUpDown } from "lucide-react";
import Link from "next/link";
import { type KeyboardEvent, type MouseEvent, type ReactNode } from "react";
import { cn } from "@/components/ui/cn";
import { Table, TableBody, TableCell, TableHead, TableHeader, TableRow } from "@/components/ui/table";

export interface Column<Row> {
  id: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** Numbers to the right. */
  align?: "right";
  /** Its header is a button that asks for another order. */
  sortable?: boolean;
  /** Hides the header's text, such as over a column of buttons. */
  headerHidden?: boolean;
  className?: string;
}

export interface Sort {
  id: string;
  direction: "asc" | "desc";
}

interface DataTableProps<Row> {
  /** Names the table. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** Where a row leads. Its first cell becomes the link, and a click anywhere in the row follows it. */
  href?: (row: Row) => string;
  sort?: Sort;
  onSortChange?: (sort: Sort) => void;
  selectedKey?: string | null;
  /** What stands in the table's place when there are no rows. */
  empty?: ReactNode;
}

/** Tab reaches the rows' links; the arrow keys, Home and End move between them. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, columns, rows, rowKey, href, sort, onSortChange, selectedKey, empty } = props;
  if (rows.length === 0 && empty) return <>{empty}</>;
  return (
    <Table label={label}>
      <TableHeader>
        <tr>
          {columns.map((column) => (
            <HeaderCell key={column.id} column={column} sort={sort} onSortChange={onSortChange} />
          ))}
        </tr>
      </TableHeader>
      <TableBody onKeyDown={moveBetweenRows}>
        {rows.map((row) => {
          const key = rowKey(row);
          return (
            <TableRow
              key={key}
              aria-selected={selectedKey === undefined ? undefined : selectedKey === key}
              onClick={href ? followRow : undefined}
              className={cn(
                "transition-colors",
                href && "cursor-pointer focus-within:bg-accent/60 hover:bg-accent/60",
                selectedKey === key && "bg-primary-soft",
              )}
            >
              {columns.map((column, index) => (
                <TableCell
                  key={column.id}
                  className={cn(column.align === "right" && "text-right tabular-nums", column.className)}
                >
                  {href && index === 0 ? (
                    <Link
                      data-row-link
                      href={href(row)}
                      className="inline-flex min-h-6 max-w-full items-center rounded-sm font-medium hover:underline"
                    >
                      {column.cell(row)}
                    </Link>
                  ) : (
                    column.cell(row)
                  )}
                </TableCell>
              ))}
            </TableRow>
          );
        })}
      </TableBody>
    </Table>
  );
}

interface HeaderCellProps<Row> {
  column: Column<Row>;
  sort?: Sort;
  onSortChange?: (sort: Sort) => void;
}

const DIRECTIONS = {
  asc: { icon: ArrowUp, ariaSort: "ascending" },
  desc: { icon: ArrowDown, ariaSort: "descending" },
} as const;

function HeaderCell<Row>({ column, sort, onSortChange }: HeaderCellProps<Row>) {
  const direction = sort?.id === column.id ? sort.direction : null;
  return (
    <TableHead
      aria-sort={direction ? DIRECTIONS[direction].ariaSort : undefined}
      className={cn(column.align === "right" && "text-right", column.className)}
    >
      {column.sortable && onSortChange ? (
        <SortButton
          text={column.header}
          direction={direction}
          className={cn(column.align === "right" && "flex-row-reverse")}
          onClick={() => onSortChange(nextSort(column.id, direction))}
        />
      ) : (
        <span className={cn(column.headerHidden && "sr-only")}>{column.header}</span>
      )}
    </TableHead>
  );
}

/** Down first: the largest and newest are what people look for. */
function nextSort(id: string, direction: Sort["direction"] | null): Sort {
  return { id, direction: direction === "desc" ? "asc" : "desc" };
}

interface SortButtonProps {
  text: string;
  direction: Sort["direction"] | null;
  className?: string;
  onClick: () => void;
}

function SortButton({ text, direction, className, onClick }: SortButtonProps) {
  const Icon = direction ? DIRECTIONS[direction].icon : ChevronsUpDown;
  return (
    <button
      type="button"
      className={cn("inline-flex min-h-6 items-center gap-1 rounded-sm hover:text-foreground", className)}
      onClick={onClick}
    >
      {text}
      <Icon aria-hidden className={cn("size-3.5", !direction && "opacity-50")} />
    </button>
  );
}

const INTERACTIVE = "a, button, input, select, textarea, label, [role=menuitem], [role=checkbox]";

/** A click beside the row's own controls, and not one that ends a selection of text, follows its link. */
function followRow(event: MouseEvent<HTMLTableRowElement>) {
  if (!(event.target instanceof Element) || event.target.closest(INTERACTIVE)) return;
  // What a dialog or menu of the row renders elsewhere bubbles through React to here.
  if (!event.currentTarget.contains(event.target) || window.getSelection()?.toString()) return;
  event.currentTarget.querySelector<HTMLElement>("[data-row-link]")?.click();
}

const MOVES: Record<string, (index: number, count: number) => number> = {
  ArrowDown: (index, count) => Math.min(index + 1, count - 1),
  ArrowUp: (index) => Math.max(index - 1, 0),
  Home: () => 0,
  End: (_index, count) => count - 1,
};

function moveBetweenRows(event: KeyboardEvent<HTMLTableSectionElement>) {
  const move = MOVES[event.key];
  if (!move || !(event.target instanceof HTMLElement) || !event.target.matches("[data-row-link]")) return;
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-row-link]")];
  event.preventDefault();
  links[move(links.indexOf(event.target), links.length)]?.focus();
}
