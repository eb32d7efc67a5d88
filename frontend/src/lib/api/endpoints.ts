/** Where the two services answer: what the dashboard was started with, unless Settings names another address. */
import { settings } from "@/lib/storage/settings";

export type Service = "backend" | "inference";

export const SERVICE_NAMES: Record<Service, string> = { backend: "backend", inference: "inference server" };

const deployed: Record<Service, string> = {
  backend: process.env.NEXT_PUBLIC_API_URL || "http://localhost:8002",
  inference: process.env.NEXT_PUBLIC_INFERENCE_URL || "http://localhost:8080",
};

/** Tells the addresses that the running server read from its environment; call it before the first request. */
export function setDeployedURLs(urls: Record<Service, string>): void {
  Object.assign(deployed, urls);
}

/** Without a slash at its end. */
export function serviceURL(service: Service): string {
  const { backendUrl, inferenceUrl } = settings.get();
  const url = (service === "backend" ? backendUrl : inferenceUrl) ?? deployed[service];
  return url.replace(/\/+$/, "");
}

/** The address before Settings changed it, to show what a reset would bring back. */
export function deployedURL(service: Service): string {
  return deployed[service];
}

/** What the services want to see beside the request: the key, when one is set. */
export function authHeaders(): Record<string, string> {
  const { apiKey } = settings.get();
  return apiKey ? { authorization: `Bearer ${apiKey}` } : {};
}

/** An id that the service's log and its answer repeat. Works without a secure context, where randomUUID is absent. */
export function newRequestId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
