"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { inference, type Inference, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";
import { servedModels } from "./shell-queries";

export type ServingVerb = "load" | "unload" | "pin" | "unpin";

const AFTER: Record<ServingVerb, Partial<Inference<"AdminModel">>> = {
  load: { state: "loaded", loaded: true },
  unload: { state: "unloaded", loaded: false, pinned: false },
  pin: { state: "loaded", loaded: true, pinned: true },
  unpin: { pinned: false },
};

/** The server lists models as of the engine's last heartbeat, a second ago at most. */
const HEARTBEAT_MS = 1_500;

/** On the inference server. The list says so at once, and is read again when the server knows it too. */
export function useServing({ tellsErrors = false } = {}) {
  const client = useQueryClient();
  return useMutation({
    meta: { tellsErrors },
    mutationFn: async ({ name, verb }: { name: string; verb: ServingVerb }): Promise<void> => {
      await unwrap(inference().POST(`/admin/models/{name}/${verb}`, { params: { path: { name } } }));
    },
    async onSuccess(_done, { name, verb }) {
      await client.cancelQueries({ queryKey: keys.served.admin, exact: true });
      client.setQueryData(servedModels.queryKey, (known) => {
        const model = known?.models[name];
        return known && model ? { ...known, models: { ...known.models, [name]: { ...model, ...AFTER[verb] } } } : known;
      });
    },
    onSettled: () => void setTimeout(() => void client.invalidateQueries({ queryKey: keys.served.all }), HEARTBEAT_MS),
  });
}
