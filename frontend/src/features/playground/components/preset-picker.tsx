"use client";

import { ChevronDown, Trash2 } from "lucide-react";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuLabel,
  DropdownMenuSeparator,
  DropdownMenuTrigger,
} from "@/components/ui/dropdown-menu";
import { Input } from "@/components/ui/input";
import { preferences, usePreferences } from "../hooks/preferences";
import { type Draft } from "../hooks/use-session";
import { applyPreset, BUILT_IN_PRESETS, matchPreset, type Preset } from "../lib/presets";

interface PresetPickerProps {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
}

/** Parameters under a name: some that come with the dashboard, and one's own. */
export function PresetPicker({ draft, change }: PresetPickerProps) {
  const { presets } = usePreferences();
  const [name, setName] = useState<string | null>(null);
  const current = matchPreset(draft.parameters, [...BUILT_IN_PRESETS, ...presets]);

  function choose(preset: Preset) {
    change({
      parameters: applyPreset(draft.parameters, preset),
      ...(preset.systemPrompt === null ? {} : { systemPrompt: preset.systemPrompt }),
    });
  }

  function save() {
    const chosen = name?.trim();
    if (!chosen) return;
    const preset: Preset = { name: chosen, parameters: draft.parameters, systemPrompt: draft.systemPrompt };
    preferences.set({ presets: [...presets.filter((one) => one.name !== chosen), preset] });
    setName(null);
  }

  if (name !== null) {
    return (
      <form
        className="flex gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <Input
          autoFocus
          aria-label="Name of the preset"
          placeholder="Name of the preset"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Button type="submit" disabled={!name.trim()}>
          Save
        </Button>
        <Button variant="ghost" onClick={() => setName(null)}>
          Cancel
        </Button>
      </form>
    );
  }
  return (
    <div className="flex gap-2">
      <DropdownMenu>
        <DropdownMenuTrigger asChild>
          <Button
            variant="outline"
            className="min-w-0 flex-1 justify-between"
            aria-label={`Preset: ${current?.name ?? "own values"}`}
          >
            <span className="truncate">{current?.name ?? "Own values"}</span>
            <ChevronDown aria-hidden className="text-muted-foreground" />
          </Button>
        </DropdownMenuTrigger>
        <DropdownMenuContent align="start">
          {BUILT_IN_PRESETS.map((preset) => (
            <DropdownMenuItem key={preset.name} onSelect={() => choose(preset)}>
              {preset.name}
            </DropdownMenuItem>
          ))}
          {presets.length ? (
            <>
              <DropdownMenuSeparator />
              <DropdownMenuLabel>Your presets</DropdownMenuLabel>
              {presets.map((preset) => (
                <DropdownMenuItem key={preset.name} onSelect={() => choose(preset)}>
                  {preset.name}
                </DropdownMenuItem>
              ))}
            </>
          ) : null}
          {current && presets.includes(current) ? (
            <>
              <DropdownMenuSeparator />
              <DropdownMenuItem
                variant="destructive"
                onSelect={() => preferences.set({ presets: presets.filter((one) => one !== current) })}
              >
                <Trash2 aria-hidden />
                Delete “{current.name}”
              </DropdownMenuItem>
            </>
          ) : null}
        </DropdownMenuContent>
      </DropdownMenu>
      <Button variant="outline" onClick={() => setName("")}>
        Save as…
      </Button>
    </div>
  );
}
