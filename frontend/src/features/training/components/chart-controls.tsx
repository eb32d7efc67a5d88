"use client";

import { Slider } from "@/components/ui/slider";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { formatPercent } from "@/lib/format/numbers";

export interface ChartLook {
  smoothing: number;
  yScale: "linear" | "log";
}

const SCALES = [
  { value: "linear", label: "Linear" },
  { value: "log", label: "Log" },
] as const;
const MOST = 0.95;

interface ChartControlsProps {
  look: ChartLook;
  onChange: (look: ChartLook) => void;
}

/** How curves are seen: smoothed, and on which axis. */
export function ChartControls({ look, onChange }: ChartControlsProps) {
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2 text-xs text-muted-foreground">
      <span className="flex items-center gap-2">
        <span id="smoothing-label">Smoothing</span>
        <Slider
          aria-labelledby="smoothing-label"
          className="w-28"
          min={0}
          max={MOST}
          step={0.05}
          value={[look.smoothing]}
          onValueChange={([smoothing]) => onChange({ ...look, smoothing: smoothing ?? 0 })}
        />
        <span className="w-8 tabular-nums">{formatPercent(look.smoothing)}</span>
      </span>
      <ToggleGroup
        aria-label="Axis"
        options={SCALES}
        value={look.yScale}
        onValueChange={(yScale) => onChange({ ...look, yScale })}
      />
    </div>
  );
}
