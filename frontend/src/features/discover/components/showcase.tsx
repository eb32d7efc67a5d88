"use client";

import { useQuery } from "@tanstack/react-query";
import { CloudOff } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Section } from "@/components/app/page";
import { Button } from "@/components/ui/button";
import { hubSearch } from "../api";
import { type HubSort, NO_FILTER, toQuery } from "../lib/search-params";
import { HubTable } from "./hub-table";

const NUM_SHOWN = 6;

interface ShowcaseProps {
  title: string;
  description: string;
  sort: HubSort;
  onShowAll: (sort: HubSort) => void;
}

/** The first few MLX models in one order, before anything is searched for. */
export function Showcase({ title, description, sort, onShowAll }: ShowcaseProps) {
  const query = toQuery({ ...NO_FILTER, sort }, NUM_SHOWN);
  const { data, error, refetch, isFetching } = useQuery(hubSearch(query));
  return (
    <Section
      title={title}
      description={description}
      actions={
        <Button variant="outline" size="sm" onClick={() => onShowAll(sort)}>
          Show all<span className="sr-only">, {title.toLowerCase()}</span>
        </Button>
      }
    >
      {data?.items.length ? (
        <HubTable label={title} models={data.items} />
      ) : data ? (
        <EmptyState icon={CloudOff} title="The hub lists no models" description="It answers, but has no MLX model to show." />
      ) : error ? (
        <ErrorState error={error} what="models of the hub" onRetry={() => void refetch()} retrying={isFetching} />
      ) : (
        <LoadingState what={title.toLowerCase()} count={NUM_SHOWN} />
      )}
    </Section>
  );
}
