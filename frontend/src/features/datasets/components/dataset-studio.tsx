"use client";

import { useQuery } from "@tanstack/react-query";
import { GraduationCap } from "lucide-react";
import Link from "next/link";
import { useCrumbLabel } from "@/components/app/crumb-label";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { Button } from "@/components/ui/button";
import { datasetDetail, type Dataset } from "../api";
import { DatasetActions } from "./dataset-actions";
import { DatasetFacts } from "./dataset-facts";
import { DatasetTabs } from "./dataset-tabs";
import { UsableRows } from "./usable-rows";

/** One dataset: what it is, its rows, and what can be made of it. */
export function DatasetStudio({ id }: { id: string }) {
  const { data, error, refetch, isFetching } = useQuery(datasetDetail(id));
  useCrumbLabel(data?.name);
  if (data) return <Loaded dataset={data} />;
  return (
    <Page>
      {error ? (
        <>
          <PageHeader title="Dataset" />
          <ErrorState error={error} what="the dataset" onRetry={() => void refetch()} retrying={isFetching} />
        </>
      ) : (
        <LoadingState what="the dataset" shape="page" />
      )}
    </Page>
  );
}

function Loaded({ dataset }: { dataset: Dataset }) {
  return (
    <Page>
      <PageHeader
        title={dataset.name}
        description={dataset.description || undefined}
        badge={<UsableRows dataset={dataset} />}
        actions={
          <>
            <DatasetActions dataset={dataset} />
            <Button asChild>
              <Link href={`/training/new?dataset=${dataset.id}`}>
                <GraduationCap aria-hidden />
                Train on it
              </Link>
            </Button>
          </>
        }
      />
      <DatasetFacts dataset={dataset} />
      <DatasetTabs dataset={dataset} />
    </Page>
  );
}
