"use client";

import { type UseQueryResult } from "@tanstack/react-query";
import { CircleOff, Gauge, HardDrive, MemoryStick, Zap } from "lucide-react";
import { ErrorState } from "@/components/app/error-state";
import { StatCard, StatGrid } from "@/components/app/stat-card";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Progress } from "@/components/ui/progress";
import { formatBytes, formatBytesOf } from "@/lib/format/bytes";
import { ABSENT, formatCompact, formatCount, formatInteger, formatPercent } from "@/lib/format/numbers";
import { type CacheStats } from "../api";
import { type Tier, tiersOf } from "../lib/tiers";

const ICONS = { Memory: MemoryStick, Disk: HardDrive };

/** How often it hits, what that saved, and how full each tier is. */
export function CacheFigures({ query }: { query: UseQueryResult<CacheStats> }) {
  const { data, error, refetch, isFetching } = query;
  if (!data && error) {
    return <ErrorState error={error} what="the cache's figures" onRetry={() => void refetch()} retrying={isFetching} />;
  }
  return (
    <>
      {data?.enabled === false ? <CacheIsOff /> : null}
      <StatGrid>
        <HitRateCard stats={data} />
        <StatCard
          label="Tokens saved"
          icon={Zap}
          loading={!data}
          value={formatCompact(data?.tokens_saved)}
          detail="Not computed again since the start"
        />
        {data ? (
          tiersOf(data).map((tier) => <TierCard key={tier.name} tier={tier} stats={data} />)
        ) : (
          <>
            <StatCard label="Memory" icon={MemoryStick} loading value="" />
            <StatCard label="Disk" icon={HardDrive} loading value="" />
          </>
        )}
      </StatGrid>
    </>
  );
}

function HitRateCard({ stats }: { stats: CacheStats | undefined }) {
  if (!stats) return <StatCard label="Hit rate" icon={Gauge} loading value="" />;
  const { total_hits: numHits, total_misses: numMisses, partial_hits: numPartial, hit_rate: rate } = stats;
  const numLookups = numHits + numMisses;
  const detail = `${formatInteger(numHits)} of ${formatCount(numLookups, "lookup")}, ${formatInteger(numPartial)} in part`;
  return (
    <StatCard
      label="Hit rate"
      icon={Gauge}
      value={numLookups ? formatPercent(rate) : ABSENT}
      detail={numLookups ? detail : "No lookups since the start"}
    />
  );
}

function TierCard({ tier, stats }: { tier: Tier; stats: CacheStats }) {
  const entries = formatCount(tier.numEntries, "entry", "entries");
  const notes =
    tier.name === "Memory" ? [`${entries} of ${formatInteger(stats.max_entries)} at most`] : [entries, ...diskNotes(stats)];
  return (
    <StatCard
      label={tier.name}
      icon={ICONS[tier.name]}
      value={formatBytes(tier.numBytes)}
      detail={
        <>
          {tier.maxBytes === null ? "No limit" : formatBytesOf(tier.numBytes, tier.maxBytes)}
          <br />
          {notes.join(" · ")}
        </>
      }
    >
      {tier.share === null ? null : (
        <Progress
          className="mt-1"
          label={`${tier.name} tier, filled`}
          value={tier.share}
          tone={tier.share > 0.9 ? "warning" : "primary"}
        />
      )}
    </StatCard>
  );
}

function diskNotes(stats: CacheStats): string[] {
  return [
    stats.persist ? "survives restarts" : "not kept over restarts",
    ...(stats.pending_writes ? [`${formatCount(stats.pending_writes, "write")} under way`] : []),
    ...(stats.disk_write_errors ? [`${formatCount(stats.disk_write_errors, "write")} failed`] : []),
    ...(stats.quarantined ? [`${formatCount(stats.quarantined, "damaged file")} put aside`] : []),
  ];
}

function CacheIsOff() {
  return (
    <Alert variant="info">
      <CircleOff aria-hidden />
      <AlertTitle>The prompt cache is switched off</AlertTitle>
      <AlertDescription>Set MLX_PROMPT_CACHE_ENABLED=true and start the inference server again.</AlertDescription>
    </Alert>
  );
}
