"use client";

import { useQuery } from "@tanstack/react-query";
import { FileText } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Markdown } from "@/components/app/markdown";
import { Card, CardContent } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { hubCard } from "../api";

/** What the model's owner writes about it. Asked for only where there is one to be had. */
export function ModelCard({ model }: { model: Backend<"HubModelDetails"> }) {
  if (!model.has_access) {
    return (
      <EmptyState
        icon={FileText}
        title="The card is not shown"
        description="It can be read once the model's terms are accepted."
      />
    );
  }
  const hasCard = model.files.some((file) => file.name === "README.md");
  return hasCard ? <CardText repoId={model.repo_id} /> : <NoCard />;
}

function CardText({ repoId }: { repoId: string }) {
  const { data, error, refetch, isFetching } = useQuery(hubCard(repoId));
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the card" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the card" />
    );
  }
  if (!data.text) return <NoCard />;
  return (
    <Card>
      <CardContent>
        <Markdown text={data.text} />
        {data.is_truncated ? (
          <p className="mt-3 text-xs text-muted-foreground">The card is longer; the hub has all of it.</p>
        ) : null}
      </CardContent>
    </Card>
  );
}

function NoCard() {
  return <EmptyState icon={FileText} title="No card" description="Its owner has written nothing about this model." />;
}
