"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useURLParams } from "@/components/app/url-params";
import { type Backend } from "@/lib/api/client";
import { formErrors } from "@/lib/api/field-errors";
import { allDatasets, baseModels } from "../api";
import { type Draft, type DraftErrors, type DraftValue, readDraft } from "../lib/draft";
import { findNamed } from "../lib/search-params";
import { type JobConfig, SETTING_NAMES, type SettingName } from "../lib/settings";
import { useCreateJob } from "../mutations";
import { usePreflight } from "./use-preflight";

export interface FormState {
  modelId: string | null;
  datasetId: string | null;
  name: string;
  adapterName: string;
  promotion: Backend<"PromotionRule">;
  draft: Draft;
}

const NAMES = ["model_id", "dataset_id", "name", "adapter_name"] as const;
const FIELDS = [...NAMES, ...SETTING_NAMES.map((name) => `config.${name}`)];

/** Everything that the form says, what is wrong with it, and what would come of it. Model and dataset are in the address. */
export function useJobForm(initial: FormState) {
  const { params, change } = useURLParams();
  const models = useQuery(baseModels);
  const datasets = useQuery(allDatasets);
  const [state, setState] = useState(initial);
  const create = useCreateJob();

  const model = findNamed(models.data?.items, params.get("model") ?? state.modelId);
  const dataset = findNamed(datasets.data?.items, params.get("dataset") ?? state.datasetId);
  const { config, errors: typos } = readDraft(state.draft);
  const body = Object.keys(typos).length === 0 ? bodyOf(model?.id, dataset?.id, config, state.adapterName.trim()) : null;
  const checks = usePreflight(body);
  const told = formErrors(create.error ?? (checks.isOutdated ? null : checks.error), FIELDS);

  return {
    state,
    models,
    datasets,
    model,
    dataset,
    body,
    checks,
    create,
    /** By field, such as `model_id`; of settings in `settingErrors`. */
    errors: told.fields,
    settingErrors: { ...settingErrors(told.fields), ...typos },
    formError: create.error ? told.other : null,
    set: (changes: Partial<FormState>) => {
      create.reset();
      setState((known) => ({ ...known, ...changes }));
    },
    setSetting: (name: SettingName, value: DraftValue) => {
      create.reset();
      setState((known) => ({ ...known, draft: { ...known.draft, [name]: value } }));
    },
    choose: (changes: { model?: string; dataset?: string }) => {
      create.reset();
      change(changes, { replaces: true });
    },
  };
}

export type JobFormState = ReturnType<typeof useJobForm>;

/** Null until both are chosen. */
function bodyOf(
  modelId: string | undefined,
  datasetId: string | undefined,
  config: Partial<JobConfig>,
  adapterName: string,
): Backend<"TrainingCreate"> | null {
  if (!modelId || !datasetId) return null;
  return { model_id: modelId, dataset_id: datasetId, config, adapter_name: adapterName || null };
}

function settingErrors(fields: Record<string, string>): DraftErrors {
  const found: DraftErrors = {};
  for (const name of SETTING_NAMES) {
    const message = fields[`config.${name}`];
    if (message) found[name] = message;
  }
  return found;
}
