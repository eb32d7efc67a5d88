import { ChevronLeft, ChevronRight } from "lucide-react";
import { Button } from "./button";

interface PaginationProps {
  /** Counted from 1. */
  page: number;
  pageSize: number;
  total: number;
  onPageChange: (page: number) => void;
  /** What is listed, in the plural. */
  noun: string;
}

/** Which rows are shown and the way to the others; nothing when all fit. */
export function Pagination({ page, pageSize, total, onPageChange, noun }: PaginationProps) {
  if (total <= pageSize) return null;
  const numPages = Math.ceil(total / pageSize);
  const first = (page - 1) * pageSize + 1;
  const count = new Intl.NumberFormat("en");
  return (
    <nav aria-label={`Pages of ${noun}`} className="flex flex-wrap items-center justify-between gap-2 text-xs">
      <p className="text-muted-foreground tabular-nums" aria-live="polite">
        {count.format(first)}–{count.format(Math.min(page * pageSize, total))} of {count.format(total)} {noun}
      </p>
      <div className="flex items-center gap-1.5">
        <Button variant="outline" size="sm" disabled={page <= 1} onClick={() => onPageChange(page - 1)}>
          <ChevronLeft aria-hidden />
          Previous
        </Button>
        <Button variant="outline" size="sm" disabled={page >= numPages} onClick={() => onPageChange(page + 1)}>
          Next
          <ChevronRight aria-hidden />
        </Button>
      </div>
    </nav>
  );
}
