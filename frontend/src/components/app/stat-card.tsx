import { type LucideIcon } from "lucide-react";
import { type ReactNode } from "react";
import { Card } from "@/components/ui/card";
import { Skeleton } from "@/components/ui/skeleton";

interface StatCardProps {
  label: string;
  /** Formatted; "--" while it is unknown. */
  value: ReactNode;
  /** What the number means or is made of. */
  detail?: ReactNode;
  icon?: LucideIcon;
  loading?: boolean;
  /** Below the number: a small chart or a bar. */
  children?: ReactNode;
}

/** One number with its name. Put several in a `<StatGrid>`. */
export function StatCard({ label, value, detail, icon: Icon, loading, children }: StatCardProps) {
  return (
    <Card className="gap-1 px-4 py-3.5">
      <dl className="flex flex-col gap-1">
        <dt className="flex items-center justify-between gap-2 text-xs font-medium text-muted-foreground">
          {label}
          {Icon ? <Icon aria-hidden className="size-4 shrink-0 opacity-70" /> : null}
        </dt>
        {loading ? (
          <dd>
            <Skeleton className="my-1 h-6 w-20" />
            <span className="sr-only">Loading</span>
          </dd>
        ) : (
          <dd className="text-2xl leading-8 font-semibold tracking-tight break-words tabular-nums">{value}</dd>
        )}
        {detail ? <dd className="text-xs text-muted-foreground">{detail}</dd> : null}
      </dl>
      {children}
    </Card>
  );
}

export function StatGrid({ children }: { children: ReactNode }) {
  return <div className="grid grid-cols-1 gap-3 min-[420px]:grid-cols-2 lg:grid-cols-4">{children}</div>;
}
