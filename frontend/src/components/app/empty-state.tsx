import { type LucideIcon } from "lucide-react";
import { type ReactNode } from "react";

interface EmptyStateProps {
  icon: LucideIcon;
  /** What is not there. */
  title: string;
  /** What it is good for and why there is none. */
  description: ReactNode;
  /** The one thing to do next. */
  action?: ReactNode;
  /** A text link to read on. */
  link?: ReactNode;
}

export function EmptyState({ icon: Icon, title, description, action, link }: EmptyStateProps) {
  return (
    <div
      data-slot="empty-state"
      className="flex flex-col items-center gap-3 rounded-xl border border-dashed px-6 py-12 text-center"
    >
      <span className="flex size-10 items-center justify-center rounded-lg bg-muted text-muted-foreground">
        <Icon aria-hidden className="size-5" />
      </span>
      <div className="flex flex-col gap-1">
        <h2 className="text-sm font-semibold">{title}</h2>
        <p className="max-w-sm text-sm text-balance text-muted-foreground">{description}</p>
      </div>
      {action || link ? (
        <div className="flex flex-wrap items-center justify-center gap-3 text-sm">
          {action}
          {link}
        </div>
      ) : null}
    </div>
  );
}
