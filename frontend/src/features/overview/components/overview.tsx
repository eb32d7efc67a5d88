"use client";

import { useQuery } from "@tanstack/react-query";
import { Compass, Dumbbell, FileUp, MessageSquare } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { servedModels } from "@/components/app/shell-queries";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { Button } from "@/components/ui/button";
import { anyModel } from "../api";
import { ActivitySection } from "./activity-section";
import { FirstRun } from "./first-run";
import { MachineCard } from "./machine-card";
import { ServedSection } from "./served-section";
import { ServicesCard } from "./services-card";
import { ServingStats } from "./serving-stats";

const EndpointCard = dynamic(() => import("./endpoint-card").then((module) => module.EndpointCard), { ssr: false });

/** What is served, what runs, and how this machine is doing; without any model, how to get one. */
export function Overview() {
  const registry = useQuery(anyModel);
  const served = useQuery(servedModels);
  const isFirstRun = registry.data?.total === 0 && served.data?.loaded_models === 0;
  return (
    <Page>
      <PageHeader
        title="Dashboard"
        description="What is served, what runs, and how this machine is doing."
        actions={<QuickActions />}
      />
      {isFirstRun ? <FirstRun /> : <ServingStats />}
      <ActivitySection />
      {isFirstRun ? null : <ServedSection query={served} />}
      <div className="grid min-w-0 gap-3 lg:grid-cols-2">
        <MachineCard />
        <ServicesCard />
      </div>
      <EndpointCard />
    </Page>
  );
}

const ACTIONS = [
  { href: "/datasets", name: "Add data", icon: FileUp },
  { href: "/training/new", name: "Train", icon: Dumbbell },
  { href: "/discover", name: "Discover", icon: Compass },
];

function QuickActions() {
  return (
    <>
      {ACTIONS.map(({ href, name, icon: Icon }) => (
        <Button key={href} variant="outline" asChild>
          <Link href={href}>
            <Icon aria-hidden />
            {name}
          </Link>
        </Button>
      ))}
      <Button asChild>
        <Link href="/inference">
          <MessageSquare aria-hidden />
          Chat
        </Link>
      </Button>
    </>
  );
}
