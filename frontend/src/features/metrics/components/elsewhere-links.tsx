"use client";

import { useQuery } from "@tanstack/react-query";
import { ExternalLink } from "lucide-react";
import { useRuntimeConfig } from "@/components/app/providers";
import { Button } from "@/components/ui/button";
import { useServiceURL } from "@/lib/api/use-service-url";
import { systemState } from "../api";

/** Where else there is something to see. */
export function ElsewhereLinks() {
  const { grafanaUrl, prometheusUrl, mlflowUrl } = useRuntimeConfig();
  const { data } = useQuery(systemState);
  const inferenceUrl = useServiceURL("inference");
  const backendUrl = useServiceURL("backend");
  const links = [
    { name: "Grafana", url: grafanaUrl },
    { name: "Prometheus", url: prometheusUrl },
    { name: "MLflow", url: data?.mlflow.ui_url ?? mlflowUrl },
    { name: "Inference API", url: `${inferenceUrl}/docs` },
    { name: "Backend API", url: `${backendUrl}/docs` },
  ];
  return (
    <nav aria-label="Elsewhere" className="flex flex-wrap gap-1">
      {links.map(({ name, url }) => (
        <Button key={name} variant="ghost" size="sm" asChild>
          <a href={url} target="_blank" rel="noreferrer">
            {name}
            <ExternalLink aria-hidden />
            <span className="sr-only">(opens a new tab)</span>
          </a>
        </Button>
      ))}
    </nav>
  );
}
