/** What a person has set in this browser: other addresses of the services, a key, and how chats begin. */
import { useSyncExternalStore } from "react";
import * as z from "zod/mini";
import { createLocalStore } from "@/lib/storage/local-store";

const address = z.nullable(z.url({ protocol: /^https?$/ }));

const schema = z.object({
  /** Null: the address that the dashboard was started with. */
  backendUrl: z.catch(address, null),
  inferenceUrl: z.catch(address, null),
  /** Sent to the inference server, which asks for one when MLX_API_KEY is set. */
  apiKey: z.catch(z.nullable(z.string()), null),
  defaultModel: z.catch(z.nullable(z.string()), null),
  systemPrompt: z.catch(z.string(), ""),
  /** Null: the server's default. */
  temperature: z.catch(z.nullable(z.number().check(z.gte(0), z.lte(2))), null),
  maxTokens: z.catch(z.nullable(z.int().check(z.gte(1), z.lte(1_000_000))), null),
});

export type Settings = z.infer<typeof schema>;

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
  const parsed = schema.safeParse(stored);
  return parsed.success ? parsed.data : DEFAULT_SETTINGS;
}

export const settings = createLocalStore<Settings>("mlx-hub.settings", parseSettings);

export function useSettings(): Settings {
  return useSyncExternalStore(settings.subscribe, settings.get, () => DEFAULT_SETTINGS);
}
