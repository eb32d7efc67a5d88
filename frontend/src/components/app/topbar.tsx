"use client";

import { PanelLeft, Search } from "lucide-react";
import { usePathname } from "next/navigation";
import { useSyncExternalStore } from "react";
import { Breadcrumb } from "@/components/ui/breadcrumb";
import { Button } from "@/components/ui/button";
import { Kbd } from "@/components/ui/kbd";
import { ActivityTray } from "./activity-tray";
import { useShownCrumbLabel } from "./crumb-label";
import { HealthMenu } from "./health-menu";
import { MobileNav } from "./mobile-nav";
import { crumbsFor } from "./navigation";
import { modifierName } from "./platform";
import { ServedChip } from "./served-chip";

interface TopbarProps {
  narrow: boolean;
  onToggleSidebar: () => void;
  onOpenPalette: () => void;
}

export function Topbar({ narrow, onToggleSidebar, onOpenPalette }: TopbarProps) {
  const crumbs = crumbsFor(usePathname(), useShownCrumbLabel());
  const modifier = useSyncExternalStore(
    () => () => {},
    modifierName,
    () => "Ctrl",
  );
  return (
    <header className="flex h-12 shrink-0 items-center gap-2 border-b bg-background px-4">
      <MobileNav />
      <Button
        variant="ghost"
        size="icon"
        className="-ml-2 hidden md:inline-flex"
        aria-label={narrow ? "Unfold the sidebar" : "Fold the sidebar"}
        aria-expanded={!narrow}
        onClick={onToggleSidebar}
      >
        <PanelLeft aria-hidden />
      </Button>
      <div className="min-w-0 flex-1">
        <Breadcrumb crumbs={crumbs} />
      </div>
      <div className="flex shrink-0 items-center gap-1">
        <Button
          variant="outline"
          size="sm"
          aria-label="Search and commands"
          aria-keyshortcuts="Control+K Meta+K"
          aria-haspopup="dialog"
          onClick={onOpenPalette}
          className="text-muted-foreground max-lg:border-transparent max-lg:bg-transparent max-lg:shadow-none lg:w-52 lg:justify-start"
        >
          <Search aria-hidden />
          <span className="hidden font-normal lg:inline">Search or jump to…</span>
          <span className="ml-auto hidden gap-0.5 lg:flex">
            <Kbd>{modifier}</Kbd>
            <Kbd>K</Kbd>
          </span>
        </Button>
        <ServedChip />
        <ActivityTray />
        <HealthMenu />
      </div>
    </header>
  );
}
