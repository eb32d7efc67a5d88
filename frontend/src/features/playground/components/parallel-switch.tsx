"use client";

import { Switch } from "@/components/ui/switch";
import { Tooltip } from "@/components/ui/tooltip";
import { preferences, usePreferences } from "../hooks/preferences";

/** One after another is fair; at once is quicker, and both speeds suffer. */
export function ParallelSwitch() {
  const { isParallel } = usePreferences();
  return (
    <Tooltip content="One after another: speeds are fair. Both at once: they share the accelerator.">
      <label className="flex min-h-6 items-center gap-2 text-xs text-muted-foreground">
        <Switch checked={isParallel} onCheckedChange={(checked) => preferences.set({ isParallel: checked })} />
        Both at once{isParallel ? ", speeds are shared" : ""}
      </label>
    </Tooltip>
  );
}
