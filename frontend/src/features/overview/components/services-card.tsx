"use client";

import { useQuery } from "@tanstack/react-query";
import { type ReactNode } from "react";
import { RelativeTime } from "@/components/app/relative-time";
import { useServiceHealth } from "@/components/app/service-health";
import { StatusBadge } from "@/components/app/status-badge";
import { Card, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { useServiceURL } from "@/lib/api/use-service-url";
import { systemState } from "../api";

/** Every part of the platform and how it is. */
export function ServicesCard() {
  const services = useServiceHealth();
  const urls = { backend: useServiceURL("backend"), inference: useServiceURL("inference") };
  const { data } = useQuery(systemState);
  return (
    <Card>
      <CardHeader>
        <CardTitle>Services</CardTitle>
        <CardDescription>Each part, and where it answers.</CardDescription>
      </CardHeader>
      <CardContent>
        <ul aria-label="Services" className="flex flex-col gap-3">
          {services.map(({ service, name, state, problems }) => (
            <ServiceRow
              key={service}
              name={name}
              status={state}
              label={state === "checking" ? "Checking" : undefined}
              detail={<span className="font-mono">{urls[service]}</span>}
              problems={problems.map(({ check, detail }) => `${check}: ${detail ?? "is not well"}`)}
            />
          ))}
          {data?.machines.map((machine) => (
            <ServiceRow
              key={machine.id}
              name="Worker"
              status={machine.is_alive ? "ok" : "down"}
              detail={
                <>
                  {machine.hostname}, last heard of <RelativeTime at={machine.last_seen_at} />
                </>
              }
            />
          ))}
          {data ? (
            <ServiceRow
              name="MLflow"
              status={data.mlflow.error ? "degraded" : "ok"}
              detail={<span className="font-mono">{data.mlflow.ui_url ?? "Local store"}</span>}
              problems={data.mlflow.error ? [data.mlflow.error] : []}
            />
          ) : null}
        </ul>
      </CardContent>
    </Card>
  );
}

interface ServiceRowProps {
  name: string;
  status: string;
  label?: string;
  detail: ReactNode;
  problems?: readonly string[];
}

function ServiceRow({ name, status, label, detail, problems = [] }: ServiceRowProps) {
  return (
    <li className="flex flex-col gap-0.5">
      <div className="flex items-center justify-between gap-2">
        <span className="text-sm font-medium">{name}</span>
        <StatusBadge status={status} label={label} />
      </div>
      <span className="text-xs break-all text-muted-foreground">{detail}</span>
      {problems.map((problem) => (
        <span key={problem} className="text-xs break-words">
          {problem}
        </span>
      ))}
    </li>
  );
}
