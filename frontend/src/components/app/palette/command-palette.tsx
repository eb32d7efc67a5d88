"use client";

import { useRouter } from "next/navigation";
import { useTheme } from "next-themes";
import { useState } from "react";
import { Command, CommandEmpty, CommandGroup, CommandInput, CommandItem, CommandList } from "@/components/ui/command";
import { Dialog, DialogContent, DialogTitle } from "@/components/ui/dialog";
import { openActions, type PaletteAction, STATIC_ACTIONS } from "./actions";
import { scoreMatch } from "./match";
import { useNamedThings } from "./named-things";

interface CommandPaletteProps {
  onClose: () => void;
  onOpenShortcuts: () => void;
  onToggleSidebar: () => void;
}

/** Every page, every thing by name, every action: one field. */
export function CommandPalette({ onClose, onOpenShortcuts, onToggleSidebar }: CommandPaletteProps) {
  const router = useRouter();
  const { setTheme } = useTheme();
  const [typed, setTyped] = useState("");
  const named = openActions(useNamedThings());
  // Names come in their hundreds; they show once something is typed.
  const actions = typed.trim() ? [...STATIC_ACTIONS, ...named] : STATIC_ACTIONS;
  const groups = [...new Set(actions.map((action) => action.group))];

  function run(action: PaletteAction) {
    onClose();
    action.run({
      navigate: router.push,
      setTheme,
      toggleSidebar: onToggleSidebar,
      openShortcuts: onOpenShortcuts,
    });
  }

  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent bare aria-describedby={undefined} className="top-[12dvh] max-w-xl translate-y-0 overflow-hidden p-0">
        <DialogTitle className="sr-only">Command palette</DialogTitle>
        <Command
          label="Search pages, models, datasets, jobs and commands"
          filter={(_id, search, keywords = []) => scoreMatch(search, keywords[0] ?? "", keywords.slice(1))}
          loop
        >
          <CommandInput placeholder="Search pages, models, datasets, jobs…" value={typed} onValueChange={setTyped} />
          <CommandList className="max-h-[min(24rem,60dvh)]">
            <CommandEmpty>Nothing matches “{typed}”.</CommandEmpty>
            {groups.map((group) => (
              <CommandGroup key={group} heading={group}>
                {inGroup(actions, group).map((action) => (
                  <CommandItem
                    key={action.id}
                    value={action.id}
                    keywords={[action.title, ...action.keywords]}
                    onSelect={() => run(action)}
                  >
                    <action.icon aria-hidden />
                    <span className="truncate">{action.title}</span>
                    {action.hint ? <span className="ml-auto shrink-0 text-xs text-muted-foreground">{action.hint}</span> : null}
                  </CommandItem>
                ))}
              </CommandGroup>
            ))}
          </CommandList>
        </Command>
      </DialogContent>
    </Dialog>
  );
}

function inGroup(actions: readonly PaletteAction[], group: string): PaletteAction[] {
  return actions.filter((action) => action.group === group);
}
