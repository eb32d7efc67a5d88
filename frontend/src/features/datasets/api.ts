/** Reading datasets: the list, one of them, and the ways to look at its rows. Changes are in `mutations.ts`. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { backend, type Backend, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";
import { type ViewSettings } from "./lib/search-params";

export type Dataset = Backend<"DatasetPublic">;
export type Row = Backend<"RowPublic">;
export type Problem = Backend<"ProblemPublic">;
export type RowPreview = Backend<"RowPreviewPublic">;
export type Lengths = Backend<"LengthsPublic">;
export type Match = "exact" | "normalised";

export const DATASETS_PER_PAGE = 20;
export const ROWS_PER_PAGE = 20;
export const PREVIEWS_PER_PAGE = 5;
export const PROBLEMS_PER_PAGE = 50;

const at = (id: string) => ({ path: { dataset_id: id } });

export const datasetList = ({ text, page }: { text: string; page: number }) =>
  queryOptions({
    queryKey: keys.datasets.list({ text, page }),
    queryFn: ({ signal }) => {
      const query = { query: text || undefined, page, page_size: DATASETS_PER_PAGE };
      return unwrap(backend().GET("/api/v1/datasets", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
  });

export const datasetDetail = (id: string) =>
  queryOptions({
    queryKey: keys.datasets.detail(id),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/datasets/{dataset_id}", { params: at(id), signal })),
    staleTime: "static",
  });

/** It changes with jobs and versions, not with datasets; so it is not asked for again when the dataset has just gone. */
export const datasetDependents = (id: string) =>
  queryOptions({
    queryKey: [...keys.training.all, "of-dataset", id],
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/datasets/{dataset_id}/dependents", { params: at(id), signal })),
  });

/** Stored rows never change, so what was read of them stays true, whatever the event stream says of other datasets. */
const UNCHANGING = { staleTime: "static", placeholderData: keepPreviousData } as const;

export const datasetRows = (id: string, page: number, pageSize = ROWS_PER_PAGE) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "rows", { page, pageSize }),
    queryFn: ({ signal }) => {
      const params = { ...at(id), query: { page, page_size: pageSize } };
      return unwrap(backend().GET("/api/v1/datasets/{dataset_id}/rows", { params, signal }));
    },
    ...UNCHANGING,
  });

export const datasetProblems = (id: string, page: number) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "problems", { page }),
    queryFn: ({ signal }) => {
      const params = { ...at(id), query: { page, page_size: PROBLEMS_PER_PAGE } };
      return unwrap(backend().GET("/api/v1/datasets/{dataset_id}/problems", { params, signal }));
    },
    ...UNCHANGING,
  });

export const datasetDuplicates = (id: string, match: Match, page: number) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "duplicates", { match, page }),
    queryFn: ({ signal }) => {
      const params = { ...at(id), query: { match, page, page_size: ROWS_PER_PAGE } };
      return unwrap(backend().GET("/api/v1/datasets/{dataset_id}/duplicates", { params, signal }));
    },
    ...UNCHANGING,
  });

export const datasetLengths = (id: string) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "lengths"),
    queryFn: ({ signal }) => unwrap(backend().GET("/api/v1/datasets/{dataset_id}/lengths", { params: at(id), signal })),
    ...UNCHANGING,
  });

export const tokenStatistics = (id: string, modelId: string, { maxSeqLength, masksPrompt }: ViewSettings) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "statistics", { modelId, maxSeqLength, masksPrompt }),
    queryFn: ({ signal }) => {
      const body = { model_id: modelId, max_seq_length: maxSeqLength, mask_prompt: masksPrompt, batch_size: 4 };
      return unwrap(backend().POST("/api/v1/datasets/{dataset_id}/statistics", { params: at(id), body, signal }));
    },
    ...UNCHANGING,
  });

export const tokenPreview = (id: string, modelId: string, { maxSeqLength, masksPrompt }: ViewSettings, page: number) =>
  queryOptions({
    queryKey: keys.datasets.view(id, "preview", { modelId, maxSeqLength, masksPrompt, page }),
    queryFn: ({ signal }) => {
      const body = {
        model_id: modelId,
        max_seq_length: maxSeqLength,
        mask_prompt: masksPrompt,
        first_row: (page - 1) * PREVIEWS_PER_PAGE + 1,
        num_rows: PREVIEWS_PER_PAGE,
      };
      return unwrap(backend().POST("/api/v1/datasets/{dataset_id}/preview", { params: at(id), body, signal }));
    },
    ...UNCHANGING,
  });

/** Models whose tokenizer is on this machine: those that were downloaded and registered. */
export const localModels = queryOptions({
  queryKey: keys.downloads.list({ status: ["ready"], page_size: 100 }),
  queryFn: ({ signal }) =>
    unwrap(backend().GET("/api/v1/downloads", { params: { query: { status: ["ready"], page_size: 100 } }, signal })),
  select: (page) => page.items.flatMap(({ model_id, repo_id }) => (model_id ? [{ id: model_id, name: repo_id }] : [])),
});
