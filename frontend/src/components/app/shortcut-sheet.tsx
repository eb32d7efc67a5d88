"use client";

import { Dialog, DialogBody, DialogContent, DialogDescription, DialogHeader, DialogTitle } from "@/components/ui/dialog";
import { Kbd } from "@/components/ui/kbd";
import { modifierName } from "./platform";
import { SHORTCUT_GROUPS } from "./shortcuts";

export function ShortcutSheet({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange}>
      <DialogContent className="max-w-2xl">
        <DialogHeader>
          <DialogTitle>Keyboard shortcuts</DialogTitle>
          <DialogDescription>They rest while you type.</DialogDescription>
        </DialogHeader>
        <DialogBody className="gap-x-8 gap-y-5 sm:grid sm:grid-cols-2">
          {SHORTCUT_GROUPS.map((group) => (
            <section key={group.title} aria-label={group.title} className="flex flex-col gap-1">
              <h3 className="text-xs font-medium text-muted-foreground">{group.title}</h3>
              <dl>
                {group.shortcuts.map(({ keys, does }) => (
                  <div key={does} className="flex min-h-7 items-center justify-between gap-3 text-sm">
                    <dt>{does}</dt>
                    <dd className="flex gap-1">
                      {keys.map((key) => (
                        <Kbd key={key}>{key === "Mod" ? modifierName() : key}</Kbd>
                      ))}
                    </dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        </DialogBody>
      </DialogContent>
    </Dialog>
  );
}
