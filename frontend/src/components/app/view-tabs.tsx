"use client";

import Link from "next/link";
import { type MouseEvent, type ReactNode } from "react";
import { cn } from "@/components/ui/cn";
import { useURLParams, withChanges } from "./url-params";

interface ViewTabsProps<View extends string> {
  /** Names the choice. */
  label: string;
  /** The parameter of the address that holds it; absent it means the first view. */
  param: string;
  views: readonly { value: View; label: string; extra?: ReactNode }[];
  current: View;
}

/** Views of one page that the address tells apart. They look like tabs, and are links: they can be opened elsewhere. */
export function ViewTabs<View extends string>({ label, param, views, current }: ViewTabsProps<View>) {
  const { params, change } = useURLParams();
  const valueOf = (view: View) => (view === views[0]?.value ? null : view);
  return (
    <nav aria-label={label} className="flex w-full gap-1 overflow-x-auto border-b">
      {views.map((view) => (
        <Link
          key={view.value}
          href={`?${withChanges(new URLSearchParams(params), { [param]: valueOf(view.value) })}`}
          aria-current={view.value === current ? "page" : undefined}
          onClick={(event) => {
            if (isForElsewhere(event)) return;
            event.preventDefault();
            change({ [param]: valueOf(view.value) });
          }}
          className={cn(
            "-mb-px flex h-9 shrink-0 items-center gap-1.5 border-b-2 border-transparent px-2.5 text-sm font-medium text-muted-foreground transition-colors hover:text-foreground focus-visible:outline-offset-[-2px]",
            "aria-[current=page]:border-primary aria-[current=page]:text-foreground",
          )}
        >
          {view.label}
          {view.extra}
        </Link>
      ))}
    </nav>
  );
}

function isForElsewhere(event: MouseEvent): boolean {
  return event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
}
