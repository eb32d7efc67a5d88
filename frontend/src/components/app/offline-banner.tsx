"use client";

import { PlugZap } from "lucide-react";
import { Button } from "@/components/ui/button";
import { describeError } from "@/lib/api/errors";
import { useServiceHealth } from "./service-health";

/** Above every page while a service does not answer; goes by itself when it does again. */
export function OfflineBanner() {
  const down = useServiceHealth().filter((service) => service.state === "down");
  return (
    <div role="status">
      {down.map((service) => (
        <div
          key={service.service}
          className="flex flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-warning/25 bg-warning-soft px-4 py-2 text-sm md:px-6"
        >
          <PlugZap aria-hidden className="size-4 shrink-0 text-warning" />
          <p className="min-w-0 flex-1 basis-56 break-words">{describeError(service.error).message.replaceAll("`", "")}</p>
          <Button variant="outline" size="sm" onClick={service.retry}>
            Retry<span className="sr-only"> the {service.name}</span>
          </Button>
        </div>
      ))}
    </div>
  );
}
