"use client";

import { useQuery } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";
import { PageHeader } from "@/components/app/page-header";
import { useURLPage, useURLParams } from "@/components/app/url-params";
import { useDebouncedText } from "@/components/app/use-debounced-text";
import { Button } from "@/components/ui/button";
import { SearchInput } from "@/components/ui/input-group";
import { Pagination } from "@/components/ui/pagination";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { datasetList } from "../api";
import { usePastedText } from "../hooks/use-pasted-text";
import { readText } from "../lib/search-params";
import { DatasetsTable } from "./datasets-table";
import { DropZone } from "./drop-zone";

const UploadDialog = dynamic(() => import("./upload-dialog").then((module) => module.UploadDialog), { ssr: false });
const PasteDialog = dynamic(() => import("./paste-dialog").then((module) => module.PasteDialog), { ssr: false });

/** All datasets, and the ways to bring in new ones. */
export function Datasets() {
  const [files, setFiles] = useState<readonly File[]>([]);
  const [pasted, setPasted] = useState<string | null>(null);
  usePastedText({ onText: setPasted, onFiles: setFiles, isActive: files.length === 0 && pasted === null });
  return (
    <Page>
      <PageHeader title="Data Prep Studio" description="Upload, check and shape datasets before training on them." />
      <DropZone onFiles={setFiles} onPaste={() => setPasted("")} />
      <DatasetList />
      {files.length ? <UploadDialog files={files} onClose={() => setFiles([])} /> : null}
      {pasted !== null ? (
        <PasteDialog
          text={pasted}
          onClose={() => setPasted(null)}
          onFile={(file) => {
            setPasted(null);
            setFiles([file]);
          }}
        />
      ) : null}
    </Page>
  );
}

function DatasetList() {
  const { params, change } = useURLParams();
  const { page, setPage } = useURLPage();
  const text = readText(params);
  const { data, error, refetch, isFetching } = useQuery({
    ...datasetList({ text, page }),
    refetchInterval: useFallbackInterval(),
  });
  if (!data) {
    return error ? (
      <ErrorState error={error} what="the datasets" onRetry={() => void refetch()} retrying={isFetching} />
    ) : (
      <LoadingState what="the datasets" />
    );
  }
  if (data.total === 0 && !text)
    return <p className="text-sm text-muted-foreground">No datasets yet. The first one comes in above.</p>;
  return (
    <div className="flex min-w-0 flex-col gap-3">
      <DatasetSearch text={text} onChange={(next) => change({ q: next.trim() || null, page: null }, { replaces: true })} />
      {data.items.length ? (
        <DatasetsTable datasets={data.items} />
      ) : (
        <EmptyState
          icon={SearchX}
          title="No dataset matches"
          description="Try another part of its name."
          action={
            <Button variant="outline" onClick={() => change({ q: null, page: null })}>
              Show all datasets
            </Button>
          }
        />
      )}
      <Pagination page={page} pageSize={data.page_size} total={data.total} noun="datasets" onPageChange={setPage} />
    </div>
  );
}

function DatasetSearch({ text: value, onChange }: { text: string; onChange: (text: string) => void }) {
  const { text, setText, commitNow } = useDebouncedText(value, onChange);
  return (
    <form
      role="search"
      aria-label="Datasets"
      onSubmit={(event) => {
        event.preventDefault();
        commitNow(text);
      }}
    >
      <SearchInput
        aria-label="Search datasets"
        placeholder="Search by name"
        className="w-full min-w-0 sm:w-80"
        value={text}
        maxLength={200}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
    </form>
  );
}
