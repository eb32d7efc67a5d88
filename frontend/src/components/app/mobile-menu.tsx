"use client";

import { Sheet, SheetContent, SheetTitle } from "@/components/ui/sheet";
import { Brand } from "./brand";
import { SidebarNav } from "./sidebar-nav";
import { ThemeSwitch } from "./theme-switch";

/** The open part of MobileNav, which loads it when it is first needed. */
export function MobileMenu({ onClose }: { onClose: () => void }) {
  return (
    <Sheet open onOpenChange={(open) => !open && onClose()}>
      <SheetContent side="left" aria-describedby={undefined} className="bg-sidebar">
        <SheetTitle className="sr-only">Menu</SheetTitle>
        <div className="px-3 pt-3">
          <Brand onFollow={onClose} />
        </div>
        <SidebarNav onFollow={onClose} />
        <div className="border-t p-3">
          <ThemeSwitch />
        </div>
      </SheetContent>
    </Sheet>
  );
}
