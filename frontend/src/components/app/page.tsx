import { type ReactNode } from "react";
import { cn } from "@/components/ui/cn";

/** The column that holds a page: PageHeader first, then its sections. `wide` takes the whole width. */
export function Page({ wide, className, children }: { wide?: boolean; className?: string; children: ReactNode }) {
  return (
    <div className={cn("mx-auto flex w-full min-w-0 flex-col gap-5 p-4 md:p-6", !wide && "max-w-6xl", className)}>
      {children}
    </div>
  );
}

interface SectionProps {
  title: string;
  description?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

/** A titled part of a page. */
export function Section({ title, description, actions, children }: SectionProps) {
  return (
    <section className="flex min-w-0 flex-col gap-3">
      <div className="flex flex-wrap items-end justify-between gap-2">
        <div className="flex flex-col gap-0.5">
          <h2 className="text-sm font-semibold">{title}</h2>
          {description ? <p className="text-xs text-muted-foreground">{description}</p> : null}
        </div>
        {actions}
      </div>
      {children}
    </section>
  );
}
