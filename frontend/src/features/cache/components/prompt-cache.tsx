"use client";

import { useQuery } from "@tanstack/react-query";
import { Flame, Trash2 } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { Page, Section } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { Button } from "@/components/ui/button";
import { cacheEntries, cacheStats, type CacheEntry } from "../api";
import { CacheFigures } from "./cache-figures";
import { EntriesTable } from "./entries-table";
import { LostTokensTable } from "./lost-tokens-table";

const WarmUpDialog = dynamic(() => import("./warm-up-dialog").then((module) => module.WarmUpDialog), { ssr: false });
const RemoveDialog = dynamic(() => import("./remove-dialogs").then((module) => module.RemoveDialog), { ssr: false });
const ClearDialog = dynamic(() => import("./remove-dialogs").then((module) => module.ClearDialog), { ssr: false });
const CacheHistory = dynamic(() => import("./cache-history").then((module) => module.CacheHistory), { ssr: false });

type Open = { dialog: "warm-up" } | { dialog: "clear" } | { dialog: "remove"; entry: CacheEntry };

/** What the prompt cache holds, how much it helps, and why it sometimes does not. */
export function PromptCache() {
  const [open, setOpen] = useState<Open | null>(null);
  const close = () => setOpen(null);
  const entries = useQuery(cacheEntries);
  const stats = useQuery(cacheStats);
  const isOff = stats.data?.enabled === false;
  return (
    <Page>
      <PageHeader
        title="Prompt cache"
        description="System prompts whose state is kept, so that answers start sooner."
        actions={
          <>
            <Button variant="outline" disabled={!entries.data?.length} onClick={() => setOpen({ dialog: "clear" })}>
              <Trash2 aria-hidden />
              Clear
            </Button>
            <Button disabled={isOff} onClick={() => setOpen({ dialog: "warm-up" })}>
              <Flame aria-hidden />
              Warm up
            </Button>
          </>
        }
      />
      <CacheFigures query={stats} />
      <EntriesTable
        query={entries}
        isOff={isOff}
        onWarmUp={() => setOpen({ dialog: "warm-up" })}
        onRemove={(entry) => setOpen({ dialog: "remove", entry })}
      />
      <Section title="Over time" description="The last fifteen minutes.">
        <CacheHistory />
      </Section>
      <LostTokensTable />
      {open?.dialog === "warm-up" ? <WarmUpDialog onClose={close} /> : null}
      {open?.dialog === "remove" ? <RemoveDialog entry={open.entry} onClose={close} /> : null}
      {open?.dialog === "clear" && entries.data ? (
        <ClearDialog entries={entries.data} persists={stats.data?.persist ?? true} onClose={close} />
      ) : null}
    </Page>
  );
}
