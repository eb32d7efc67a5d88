"use client";

import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { SERVICE_NAMES, type Service, serviceURL } from "@/lib/api/endpoints";
import { backendHealth, inferenceHealth } from "./shell-queries";

export type HealthState = "checking" | "ok" | "degraded" | "down";

export interface ServiceHealth {
  service: Service;
  name: string;
  url: string;
  state: HealthState;
  error: unknown;
  /** What is not as it should be. */
  problems: { check: string; detail: string | null }[];
  retry: () => void;
}

type Check = { ok: boolean; detail?: string | null };
type Answer = { status: "ok" | "degraded"; checks?: Record<string, Check> };

export function useServiceHealth(): ServiceHealth[] {
  const ofBackend = useQuery(backendHealth);
  const ofInference = useQuery(inferenceHealth);
  return [toHealth("backend", ofBackend), toHealth("inference", ofInference)];
}

function toHealth(service: Service, query: UseQueryResult<Answer>): ServiceHealth {
  const name = SERVICE_NAMES[service];
  return {
    service,
    name: name.charAt(0).toUpperCase() + name.slice(1),
    url: serviceURL(service),
    state: query.isError ? "down" : (query.data?.status ?? "checking"),
    error: query.error,
    problems: query.isError ? [] : findProblems(query.data?.checks ?? {}),
    retry: () => void query.refetch(),
  };
}

export function findProblems(checks: Record<string, Check>): ServiceHealth["problems"] {
  return Object.entries(checks)
    .filter(([, check]) => !check.ok)
    .map(([check, { detail }]) => ({ check: check.replaceAll("_", " "), detail: detail ?? null }));
}

/** The worst of all, in one word and one sentence. */
export function summarise(services: readonly Pick<ServiceHealth, "name" | "state">[]): {
  state: HealthState;
  text: string;
} {
  const down = services.filter((service) => service.state === "down");
  if (down.length) return { state: "down", text: `${down.map((service) => service.name).join(", ")} down` };
  const degraded = services.filter((service) => service.state === "degraded");
  if (degraded.length) return { state: "degraded", text: `${degraded.map((service) => service.name).join(", ")} degraded` };
  if (services.some((service) => service.state === "checking")) return { state: "checking", text: "Checking services" };
  return { state: "ok", text: "All services OK" };
}
