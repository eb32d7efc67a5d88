"use client";

import dynamic from "next/dynamic";
import { type ReactNode } from "react";
import { type ControlProps } from "@/components/ui/field";
import { Skeleton } from "@/components/ui/skeleton";

const Combobox = dynamic(() => import("@/components/ui/combobox").then((module) => module.Combobox), {
  ssr: false,
  loading: () => <Skeleton className="h-8 w-full rounded-md" />,
});

interface Row {
  id: string;
  name: string;
}

interface RowPickerProps<R extends Row> extends Partial<ControlProps> {
  /** Undefined while they are loaded. */
  rows: readonly R[] | undefined;
  detail?: (row: R) => ReactNode;
  value: string | null;
  onValueChange: (id: string) => void;
  placeholder: string;
  "aria-label"?: string;
  className?: string;
}

/** Chooses one of the backend's rows by its name. */
export function RowPicker<R extends Row>({ rows, detail, className, ...props }: RowPickerProps<R>) {
  return (
    <div className={className}>
      <Combobox
        options={(rows ?? []).map((row) => ({ value: row.id, label: row.name, detail: detail?.(row) }))}
        disabled={!rows}
        {...props}
      />
    </div>
  );
}
