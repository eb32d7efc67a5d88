"use client";

import { useSyncExternalStore } from "react";
import { createLocalStore } from "@/lib/storage/local-store";
import { readParameters } from "../lib/parameters";
import { type Preset } from "../lib/presets";

/** How the playground behaves in this browser. */
export interface Preferences {
  /** Enter alone sends, and Shift+Enter breaks the line. Ctrl/Cmd+Enter sends in either case. */
  sendsOnEnter: boolean;
  /** Compared models answer at the same time, and so share the accelerator. */
  isParallel: boolean;
  showsParameters: boolean;
  presets: Preset[];
}

const DEFAULTS: Preferences = { sendsOnEnter: true, isParallel: false, showsParameters: true, presets: [] };

function parse(stored: unknown): Preferences {
  const given = typeof stored === "object" && stored !== null ? (stored as Record<string, unknown>) : {};
  return {
    sendsOnEnter: given.sendsOnEnter !== false,
    isParallel: given.isParallel === true,
    showsParameters: given.showsParameters !== false,
    presets: Array.isArray(given.presets) ? given.presets.flatMap((one) => readPreset(one) ?? []) : [],
  };
}

function readPreset(stored: unknown): Preset | null {
  const { name, parameters, systemPrompt } = (stored ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || !name.trim()) return null;
  return {
    name,
    parameters: readParameters(parameters),
    systemPrompt: typeof systemPrompt === "string" ? systemPrompt : null,
  };
}

export const preferences = createLocalStore<Preferences>("mlx-hub.playground", parse);

export function usePreferences(): Preferences {
  return useSyncExternalStore(preferences.subscribe, preferences.get, () => DEFAULTS);
}
