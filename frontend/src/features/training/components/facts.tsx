import { type ReactNode } from "react";
import { cn } from "@/components/ui/cn";

interface FactsProps {
  items: readonly (readonly [name: string, value: ReactNode])[];
  className?: string;
}

/** Names and values, line by line. */
export function Facts({ items, className }: FactsProps) {
  return (
    <dl className={cn("flex flex-col divide-y text-xs", className)}>
      {items.map(([name, value]) => (
        <div key={name} className="flex items-baseline justify-between gap-4 py-1.5">
          <dt className="shrink-0 text-muted-foreground">{name}</dt>
          <dd className="min-w-0 text-right break-words tabular-nums">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
