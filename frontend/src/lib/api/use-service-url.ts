"use client";

import { useSyncExternalStore } from "react";
import { deployedURL, serviceURL, type Service } from "@/lib/api/endpoints";
import { settings } from "@/lib/storage/settings";

/** Where the service answers, for what is drawn: the server cannot know what this browser's Settings say. */
export function useServiceURL(service: Service): string {
  return useSyncExternalStore(
    settings.subscribe,
    () => serviceURL(service),
    () => deployedURL(service).replace(/\/+$/, ""),
  );
}
