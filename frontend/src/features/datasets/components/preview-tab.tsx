"use client";

import { Compass } from "lucide-react";
import Link from "next/link";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { useURLParams } from "@/components/app/url-params";
import { Button } from "@/components/ui/button";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type Dataset } from "../api";
import { useViewSettings } from "../hooks/use-view-settings";
import { RawPreview } from "./raw-preview";
import { TokenPreview } from "./token-preview";
import { ViewControls } from "./view-controls";

const SHOWN = [
  { value: "tokens", label: "Tokenised" },
  { value: "raw", label: "Raw" },
] as const;

/** Rows as they stand in the file, or as a model will see them. */
export function PreviewTab({ dataset }: { dataset: Dataset }) {
  const { params, change } = useURLParams();
  const shown = params.get("show") === "raw" ? "raw" : "tokens";
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <ToggleGroup
        aria-label="Show rows"
        options={SHOWN}
        value={shown}
        onValueChange={(value) => change({ show: value === "raw" ? "raw" : null }, { replaces: true })}
      />
      {shown === "raw" ? <RawPreview dataset={dataset} /> : <Tokenised dataset={dataset} />}
    </div>
  );
}

function Tokenised({ dataset }: { dataset: Dataset }) {
  const { models, settings, changeSettings } = useViewSettings();
  if (!models.data) {
    return models.error ? (
      <ErrorState error={models.error} what="the models" onRetry={() => void models.refetch()} retrying={models.isFetching} />
    ) : (
      <LoadingState what="the models" />
    );
  }
  const modelId = settings.modelId ?? models.data[0]?.id ?? null;
  if (!modelId) {
    return (
      <EmptyState
        icon={Compass}
        title="No model is here yet"
        description="A preview needs the tokenizer and the template of a downloaded model."
        action={
          <Button asChild variant="outline">
            <Link href="/discover">Discover models</Link>
          </Button>
        }
      />
    );
  }
  return (
    <>
      <ViewControls models={models.data} settings={{ ...settings, modelId }} onChange={changeSettings} />
      <TokenPreview dataset={dataset} modelId={modelId} settings={settings} />
    </>
  );
}
