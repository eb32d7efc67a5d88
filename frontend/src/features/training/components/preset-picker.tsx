"use client";

import { type Draft } from "../lib/draft";
import { applyPreset, describePreset, presetOf, PRESETS } from "../lib/presets";

interface PresetPickerProps {
  draft: Draft;
  onChange: (draft: Draft) => void;
}

/** Cards that say what they set. None is chosen once the settings are somebody's own. Native radio buttons: the arrow keys choose. */
export function PresetPicker({ draft, onChange }: PresetPickerProps) {
  const current = presetOf(draft);
  return (
    <div className="flex flex-col gap-2">
      <div role="radiogroup" aria-label="Preset" className="grid gap-2 sm:grid-cols-3">
        {PRESETS.map((preset) => (
          <label
            key={preset.id}
            className="relative flex cursor-pointer flex-col gap-1 rounded-lg border bg-card px-3 py-2.5 text-sm transition-colors hover:bg-accent has-checked:border-primary has-checked:bg-primary-soft has-focus-visible:outline-2 has-focus-visible:outline-ring"
          >
            <input
              type="radio"
              name="preset"
              value={preset.id}
              aria-label={preset.title}
              aria-describedby={`preset-${preset.id}`}
              checked={current?.id === preset.id}
              onChange={() => onChange(applyPreset(draft, preset))}
              className="absolute inset-0 cursor-pointer appearance-none rounded-lg opacity-0"
            />
            <span className="font-medium">{preset.title}</span>
            <span id={`preset-${preset.id}`} className="flex flex-col gap-1 text-xs">
              <span className="text-foreground/85">{preset.purpose}</span>
              <span className="flex flex-wrap gap-x-2 text-foreground/75">
                {describePreset(preset).map((text) => (
                  <span key={text} className="whitespace-nowrap">
                    {text}
                  </span>
                ))}
              </span>
            </span>
          </label>
        ))}
      </div>
      {current ? null : (
        <p className="text-xs text-muted-foreground">Your own settings. A preset puts back what its card names.</p>
      )}
    </div>
  );
}
