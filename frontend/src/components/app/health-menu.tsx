"use client";

import { CircleCheck, CircleDashed, CircleX, type LucideIcon, TriangleAlert } from "lucide-react";
import { cn } from "@/components/ui/cn";
import { PanelButton } from "./panel-button";
import { type HealthState, type ServiceHealth, summarise, useServiceHealth } from "./service-health";

/** Each state has a shape of its own, so that the colour is not needed to tell them apart. */
const LOOKS: Record<HealthState, { icon: LucideIcon; className: string; word: string }> = {
  ok: { icon: CircleCheck, className: "text-success", word: "OK" },
  degraded: { icon: TriangleAlert, className: "text-warning", word: "Degraded" },
  down: { icon: CircleX, className: "text-destructive", word: "Does not answer" },
  checking: { icon: CircleDashed, className: "text-muted-foreground", word: "Checking" },
};

export function HealthMenu() {
  const services = useServiceHealth();
  const summary = summarise(services);
  const Icon = LOOKS[summary.state].icon;
  return (
    <PanelButton
      variant="ghost"
      size="icon"
      aria-label={`Services: ${summary.text}`}
      title={summary.text}
      panelLabel="Services"
      panelClassName="p-1"
      panel={() => <ServiceList services={services} />}
    >
      <Icon aria-hidden className={LOOKS[summary.state].className} />
    </PanelButton>
  );
}

function ServiceList({ services }: { services: readonly ServiceHealth[] }) {
  return (
    <ul className="flex flex-col">
      {services.map((service) => (
        <li key={service.service} className="flex flex-col gap-1 rounded-md px-2.5 py-2">
          <div className="flex items-center gap-2">
            <StateIcon state={service.state} />
            <span className="text-sm font-medium">{service.name}</span>
            <span className="ml-auto text-xs text-muted-foreground">{LOOKS[service.state].word}</span>
          </div>
          <a
            href={`${service.url}/docs`}
            target="_blank"
            rel="noreferrer"
            className="ml-6 w-fit rounded-sm font-mono text-xs break-all text-muted-foreground hover:text-foreground hover:underline"
          >
            {service.url}
          </a>
          {service.problems.map((problem) => (
            <p key={problem.check} className="ml-6 text-xs break-words text-foreground/80">
              <span className="font-medium capitalize">{problem.check}</span>
              {problem.detail ? `: ${problem.detail}` : " is not well"}
            </p>
          ))}
        </li>
      ))}
    </ul>
  );
}

function StateIcon({ state }: { state: HealthState }) {
  const { icon: Icon, className } = LOOKS[state];
  return <Icon aria-hidden className={cn("size-4 shrink-0", className)} />;
}
