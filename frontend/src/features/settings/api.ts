/** Requests of the settings page: what the services run with, and what lies on the disk. */
import { queryOptions } from "@tanstack/react-query";
import { backend, inference, unwrap, type Backend } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

export type Setting = Backend<"SettingPublic">;
export type Storage = Backend<"StoragePublic">;

export const backendSettings = queryOptions({
  queryKey: [...keys.system.all, "settings"],
  queryFn: async ({ signal }): Promise<Setting[]> =>
    (await unwrap(backend().GET("/api/v1/system/settings", { signal }))).settings,
  retry: false,
});

export const inferenceSettings = queryOptions({
  queryKey: [...keys.served.all, "settings"],
  queryFn: async ({ signal }): Promise<Setting[]> => (await unwrap(inference().GET("/admin/settings", { signal }))).settings,
  retry: false,
});

export const storage = queryOptions({
  queryKey: [...keys.system.all, "storage"],
  queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/system/storage", { signal })),
  retry: false,
});
