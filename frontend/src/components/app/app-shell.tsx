"use client";

import dynamic from "next/dynamic";
import { type ReactNode, useState } from "react";
import { EventProvider } from "@/lib/events/event-provider";
import { ActivityToasts } from "./activity-toasts";
import { Brand } from "./brand";
import { CrumbLabelProvider } from "./crumb-label";
import { OfflineBanner } from "./offline-banner";
import { saveSidebarState, type SidebarState } from "./sidebar-state";
import { SidebarNav } from "./sidebar-nav";
import { useIsNarrow } from "./use-is-narrow";
import { ThemeSwitch } from "./theme-switch";
import { Topbar } from "./topbar";
import { useShortcuts } from "./use-shortcuts";

// Loaded when first opened: the palette's search is no part of a page's first load.
const CommandPalette = dynamic(() => import("./palette/command-palette").then((module) => module.CommandPalette), {
  ssr: false,
});
const ShortcutSheet = dynamic(() => import("./shortcut-sheet").then((module) => module.ShortcutSheet), {
  ssr: false,
});

interface AppShellProps {
  initialSidebar: SidebarState;
  children: ReactNode;
}

/** What surrounds every page. Mount it once: it holds the tab's event stream. */
export function AppShell({ initialSidebar, children }: AppShellProps) {
  const [sidebar, setSidebar] = useState(initialSidebar);
  const [overlay, setOverlay] = useState<"palette" | "shortcuts" | null>(null);
  const narrow = useIsNarrow(sidebar);

  function toggleSidebar() {
    const next = narrow ? "open" : "collapsed";
    setSidebar(next);
    saveSidebarState(next);
  }

  useShortcuts({
    openPalette: () => setOverlay((open) => (open === "palette" ? null : "palette")),
    openShortcuts: () => setOverlay("shortcuts"),
    toggleSidebar,
  });

  return (
    <EventProvider>
      <CrumbLabelProvider>
        <a
          href="#main"
          className="fixed top-2 left-2 -translate-y-20 rounded-md bg-primary px-3 py-2 text-sm font-medium text-primary-foreground focus:translate-y-0"
        >
          Skip to the content
        </a>
        <div data-sidebar={sidebar} className="flex h-dvh min-w-0">
          <aside data-slot="sidebar" className="hidden w-56 shrink-0 flex-col border-r bg-sidebar md:flex narrow:w-13">
            <div className="flex h-12 shrink-0 items-center px-3">
              <Brand />
            </div>
            <SidebarNav narrow={narrow} />
            <div className="border-t px-3 py-2 narrow:hidden">
              <ThemeSwitch />
            </div>
          </aside>
          <div className="flex min-w-0 flex-1 flex-col">
            <Topbar narrow={narrow} onToggleSidebar={toggleSidebar} onOpenPalette={() => setOverlay("palette")} />
            <OfflineBanner />
            <main id="main" tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto outline-none">
              <PageSlot>{children}</PageSlot>
            </main>
          </div>
        </div>
        <ActivityToasts />
        {overlay === "palette" ? (
          <CommandPalette
            onClose={() => setOverlay(null)}
            onOpenShortcuts={() => setOverlay("shortcuts")}
            onToggleSidebar={toggleSidebar}
          />
        ) : null}
        {overlay === "shortcuts" ? <ShortcutSheet open onOpenChange={(open) => setOverlay(open ? "shortcuts" : null)} /> : null}
      </CrumbLabelProvider>
    </EventProvider>
  );
}

/**
 * A page can reach the browser after the shell around it. React tries the element that waits for it again, and an element of the DOM that
 * it had matched with the server's already does not match a second time (error 418, then the whole page is drawn anew); a component does.
 */
function PageSlot({ children }: { children: ReactNode }) {
  return children;
}
