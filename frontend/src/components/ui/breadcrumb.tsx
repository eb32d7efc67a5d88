import { ChevronRight } from "lucide-react";
import Link from "next/link";
import { Fragment } from "react";

export interface Crumb {
  label: string;
  href?: string;
}

/** Where the page stands; the last crumb is the page itself. */
export function Breadcrumb({ crumbs }: { crumbs: readonly Crumb[] }) {
  return (
    <nav aria-label="Breadcrumb" className="min-w-0">
      <ol className="flex min-w-0 items-center gap-1 text-sm">
        {crumbs.map((crumb, index) => (
          <Fragment key={`${index} ${crumb.label}`}>
            {index > 0 ? (
              <li aria-hidden className="shrink-0 text-muted-foreground/60">
                <ChevronRight className="size-3.5" />
              </li>
            ) : null}
            <li className="min-w-0 truncate last:shrink">
              {crumb.href && index < crumbs.length - 1 ? (
                <Link
                  href={crumb.href}
                  className="inline-flex min-h-6 items-center rounded-sm text-muted-foreground hover:text-foreground"
                >
                  {crumb.label}
                </Link>
              ) : (
                <span aria-current="page" className="block truncate font-medium">
                  {crumb.label}
                </span>
              )}
            </li>
          </Fragment>
        ))}
      </ol>
    </nav>
  );
}
