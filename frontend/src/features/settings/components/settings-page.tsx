"use client";

import { Keyboard, RotateCcw } from "lucide-react";
import dynamic from "next/dynamic";
import { useState, useSyncExternalStore } from "react";
import { LoadingState } from "@/components/app/loading-state";
import { Page, Section } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { ThemeSwitch } from "@/components/app/theme-switch";
import { Button } from "@/components/ui/button";
import { Card, CardContent } from "@/components/ui/card";
import { useSettings } from "@/lib/storage/settings";
import { backendSettings, inferenceSettings } from "../api";
import { ConnectionForm } from "./connection-form";
import { PlaygroundForm } from "./playground-form";
import { ServiceSettings } from "./service-settings";
import { StorageUsage } from "./storage-usage";

const ShortcutSheet = dynamic(() => import("@/components/app/shortcut-sheet").then((module) => module.ShortcutSheet), {
  ssr: false,
});
const ResetDialog = dynamic(() => import("./reset-dialog").then((module) => module.ResetDialog), { ssr: false });

/** What this browser remembers, and what the services were started with. */
export function SettingsPage() {
  const [open, setOpen] = useState<"shortcuts" | "reset" | null>(null);
  return (
    <Page>
      <PageHeader
        title="Settings"
        description="Yours are kept in this browser; the services' are set where they are started."
        actions={
          <>
            <Button variant="outline" onClick={() => setOpen("shortcuts")}>
              <Keyboard aria-hidden />
              Keyboard shortcuts
            </Button>
            <Button variant="outline" onClick={() => setOpen("reset")}>
              <RotateCcw aria-hidden />
              Reset
            </Button>
          </>
        }
      />
      <BrowserSettings />
      <Section title="Storage" description="What the platform keeps on this machine's disk.">
        <StorageUsage />
      </Section>
      <ServiceSettings title="Inference server" query={inferenceSettings} />
      <ServiceSettings title="Backend" query={backendSettings} />
      {open === "shortcuts" ? <ShortcutSheet open onOpenChange={(isOpen) => setOpen(isOpen ? "shortcuts" : null)} /> : null}
      {open === "reset" ? <ResetDialog onClose={() => setOpen(null)} /> : null}
    </Page>
  );
}

/** Only the browser knows them. A reset, here or in another tab, begins the forms anew. */
function BrowserSettings() {
  const settings = useSettings();
  const isMounted = useSyncExternalStore(
    () => () => {},
    () => true,
    () => false,
  );
  if (!isMounted) return <LoadingState what="your settings" count={4} />;
  const version = JSON.stringify(settings);
  return (
    <>
      <Section title="Connection" description="Where the services answer. Leave a field empty for the address below it.">
        <ConnectionForm key={`connection ${version}`} saved={settings} />
      </Section>
      <Section title="Playground" description="How new chats begin.">
        <PlaygroundForm key={`playground ${version}`} saved={settings} />
      </Section>
      <Section title="Appearance">
        <Card>
          <CardContent className="flex flex-wrap items-center justify-between gap-3">
            <span className="text-sm">Theme</span>
            <ThemeSwitch withText />
          </CardContent>
        </Card>
      </Section>
    </>
  );
}
