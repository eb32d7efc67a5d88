"use client";

import { useQuery } from "@tanstack/react-query";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { StatCard, StatGrid } from "@/components/app/stat-card";
import { HistogramBars } from "@/components/charts/histogram-bars";
import { formatInteger, formatPercent } from "@/lib/format/numbers";
import { type Dataset, datasetLengths, type Lengths, tokenStatistics } from "../api";
import { useViewSettings } from "../hooks/use-view-settings";
import { type ViewSettings } from "../lib/search-params";
import { ViewControls } from "./view-controls";

/** How long the rows are: in characters, or in the tokens of a model. */
export function LengthsTab({ dataset }: { dataset: Dataset }) {
  const { models, settings, changeSettings } = useViewSettings();
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <ViewControls models={models.data ?? []} settings={settings} noModel="None: count characters" onChange={changeSettings} />
      {settings.modelId ? (
        <TokenLengths dataset={dataset} modelId={settings.modelId} settings={settings} />
      ) : (
        <CharacterLengths dataset={dataset} />
      )}
    </div>
  );
}

function CharacterLengths({ dataset }: { dataset: Dataset }) {
  const { data, error, refetch, isFetching } = useQuery(datasetLengths(dataset.id));
  if (error) return <ErrorState error={error} what="the lengths" onRetry={() => void refetch()} retrying={isFetching} />;
  if (!data) return <LoadingState what="the lengths" shape="cards" />;
  if (!data.characters)
    return <p className="text-sm text-muted-foreground">No row can be used, so there is nothing to measure.</p>;
  return (
    <>
      <Percentiles unit="characters" lengths={data.characters} total={data.characters.total} />
      <HistogramBars label="Rows by length in characters" bins={toBins(data.characters.histogram)} />
      <p className="text-xs text-muted-foreground">
        Of {formatInteger(data.num_usable_rows)} usable rows. Choose a model to count its tokens, and to see what a limit cuts.
      </p>
    </>
  );
}

interface TokenLengthsProps {
  dataset: Dataset;
  modelId: string;
  settings: ViewSettings;
}

function TokenLengths({ dataset, modelId, settings }: TokenLengthsProps) {
  const { data, error, refetch, isFetching } = useQuery(tokenStatistics(dataset.id, modelId, settings));
  if (error) return <ErrorState error={error} what="the lengths" onRetry={() => void refetch()} retrying={isFetching} />;
  if (!data) return <LoadingState what="the lengths" shape="cards" />;
  const { tokens } = data;
  if (!tokens) return <p className="text-sm text-muted-foreground">The model can format none of the rows.</p>;
  const cut = tokens.truncation.find(({ max_seq_length }) => max_seq_length === settings.maxSeqLength);
  return (
    <>
      <Percentiles unit="tokens" lengths={tokens} total={tokens.num_tokens} />
      <HistogramBars
        label="Rows by length in tokens"
        bins={toBins(tokens.histogram)}
        limit={{ at: settings.maxSeqLength, label: `limit ${formatInteger(settings.maxSeqLength)}` }}
      />
      <p className="text-sm">
        {cut && cut.share_of_rows > 0
          ? `${formatPercent(cut.share_of_rows)} of the rows are longer than ${formatInteger(settings.maxSeqLength)} tokens, and lose ${formatPercent(cut.share_of_tokens)} of all tokens.`
          : `No row is longer than ${formatInteger(settings.maxSeqLength)} tokens.`}{" "}
        {cut?.num_rows_without_answer
          ? `${formatInteger(cut.num_rows_without_answer)} would lose their whole answer and be left out.`
          : null}
      </p>
      <p className="text-xs text-muted-foreground">
        {formatInteger(tokens.num_learned_tokens)} tokens are learned in an epoch.
        {data.is_sample
          ? ` A sample of ${formatInteger(data.num_inspected_rows)} of ${formatInteger(data.num_rows)} rows.`
          : null}
      </p>
    </>
  );
}

interface PercentilesProps {
  unit: string;
  lengths: Pick<Lengths, "p50" | "p95" | "p99" | "max">;
  total: number;
}

function Percentiles({ unit, lengths, total }: PercentilesProps) {
  return (
    <StatGrid>
      <StatCard label="Half of the rows" value={`≤ ${formatInteger(lengths.p50)}`} detail={unit} />
      <StatCard label="95% of the rows" value={`≤ ${formatInteger(lengths.p95)}`} detail={unit} />
      <StatCard label="Longest row" value={formatInteger(lengths.max)} detail={unit} />
      <StatCard label="Together" value={formatInteger(total)} detail={unit} />
    </StatGrid>
  );
}

function toBins(histogram: Lengths["histogram"]) {
  return histogram.map(({ first, last, num_rows }) => ({ first, last, count: num_rows }));
}
