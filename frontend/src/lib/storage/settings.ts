/** What a person has set in this browser: other addresses of the services, a key, and how chats begin. */
import { useSyncExternalStore } from "react";
import { createLocalStore } from "@/lib/storage/local-store";

export interface Settings {
  /** Null: the address that the dashboard was started with. */
  backendUrl: string | null;
  inferenceUrl: string | null;
  /** Sent to both services, which ask for one unless they listen on this machine alone. */
  apiKey: string | null;
  defaultModel: string | null;
  systemPrompt: string;
  /** Null: the server's default. */
  temperature: number | null;
  maxTokens: number | null;
}

export const DEFAULT_SETTINGS: Settings = {
  backendUrl: null,
  inferenceUrl: null,
  apiKey: null,
  defaultModel: null,
  systemPrompt: "",
  temperature: null,
  maxTokens: null,
};

/** Whole settings of whatever was stored; a field that makes no sense gets its default. */
export function parseSettings(stored: unknown): Settings {
  const given = typeof stored === "object" && stored !== null ? (stored as Record<string, unknown>) : {};
  return {
    backendUrl: readAddress(given.backendUrl),
    inferenceUrl: readAddress(given.inferenceUrl),
    apiKey: readText(given.apiKey),
    defaultModel: readText(given.defaultModel),
    systemPrompt: readText(given.systemPrompt) ?? "",
    temperature: readNumber(given.temperature, 0, 2),
    maxTokens: Number.isInteger(given.maxTokens) ? readNumber(given.maxTokens, 1, 1_000_000) : null,
  };
}

function readText(stored: unknown): string | null {
  return typeof stored === "string" ? stored : null;
}

function readAddress(stored: unknown): string | null {
  const address = readText(stored);
  return address !== null && /^https?:/i.test(address) && URL.canParse(address) ? address : null;
}

function readNumber(stored: unknown, low: number, high: number): number | null {
  return typeof stored === "number" && stored >= low && stored <= high ? stored : null;
}

export const settings = createLocalStore<Settings>("mlx-hub.settings", parseSettings);

export function useSettings(): Settings {
  return useSyncExternalStore(settings.subscribe, settings.get, () => DEFAULT_SETTINGS);
}
