"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { cn } from "@/components/ui/cn";
import { isWithin, PAGE_GROUPS, type PageEntry, SETTINGS_PAGE } from "./navigation";

interface SidebarNavProps {
  /** Only icons show; the pointer tells their names. */
  narrow?: boolean;
  onFollow?: () => void;
}

export function SidebarNav({ narrow, onFollow }: SidebarNavProps) {
  return (
    <nav aria-label="Main" className="flex flex-1 flex-col gap-4 overflow-x-hidden overflow-y-auto px-2 py-2">
      {PAGE_GROUPS.map((group, index) => (
        <ul key={group.title} aria-label={group.title} className="flex flex-col gap-0.5">
          {index > 0 ? (
            <li aria-hidden className="px-2 pb-1 text-2xs font-medium whitespace-nowrap text-muted-foreground narrow:sr-only">
              {group.title}
            </li>
          ) : null}
          {group.pages.map((page) => (
            <NavItem key={page.href} page={page} narrow={narrow} onFollow={onFollow} />
          ))}
        </ul>
      ))}
      <ul aria-label="Settings" className="mt-auto">
        <NavItem page={SETTINGS_PAGE} narrow={narrow} onFollow={onFollow} />
      </ul>
    </nav>
  );
}

function NavItem({ page, narrow, onFollow }: SidebarNavProps & { page: PageEntry }) {
  const isCurrent = isWithin(usePathname(), page.href);
  const Icon = page.icon;
  return (
    <li>
      <Link
        href={page.href}
        onClick={onFollow}
        title={narrow ? page.title : undefined}
        aria-current={isCurrent ? "page" : undefined}
        className={cn(
          "flex h-8 items-center gap-2.5 rounded-md px-2 text-sm font-medium whitespace-nowrap text-muted-foreground transition-colors hover:bg-sidebar-accent hover:text-foreground focus-visible:outline-offset-[-2px] narrow:justify-center",
          isCurrent && "bg-sidebar-accent text-foreground",
        )}
      >
        <Icon aria-hidden className={cn("size-4 shrink-0", isCurrent && "text-primary-text")} />
        <span className="narrow:sr-only">{page.title}</span>
      </Link>
    </li>
  );
}
