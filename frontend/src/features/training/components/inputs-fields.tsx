"use client";

import Link from "next/link";
import { ErrorState } from "@/components/app/error-state";
import { Section } from "@/components/app/page";
import { Field } from "@/components/ui/field";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";
import { type JobFormState } from "../hooks/use-job-form";
import { RowPicker } from "./row-picker";

const LINK = "text-primary-text underline-offset-4 hover:underline";

/** The two things that a job needs. */
export function InputsFields({ form }: { form: JobFormState }) {
  const { models, datasets, model, dataset, errors } = form;
  const failed = [models, datasets].find(({ data, error }) => !data && error);
  if (failed) {
    const retry = () => void Promise.all([models.refetch(), datasets.refetch()]);
    return <ErrorState error={failed.error} what="models and datasets" onRetry={retry} retrying={failed.isFetching} />;
  }
  return (
    <Section title="What to train, on what">
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="Base model"
          required
          error={errors.model_id}
          hint={
            models.data?.items.length === 0 ? (
              <>
                There is none yet.{" "}
                <Link href="/discover" className={LINK}>
                  Download one
                </Link>
              </>
            ) : (
              "Its own weights stay as they are."
            )
          }
        >
          {(control) => (
            <RowPicker
              {...control}
              placeholder="Choose a model"
              rows={models.data?.items}
              value={model?.id ?? null}
              onValueChange={(id) => form.choose({ model: id })}
            />
          )}
        </Field>
        <Field
          label="Dataset"
          required
          error={errors.dataset_id}
          hint={
            datasets.data?.items.length === 0 ? (
              <>
                There is none yet.{" "}
                <Link href="/datasets" className={LINK}>
                  Upload one
                </Link>
              </>
            ) : dataset ? (
              `${formatCount(dataset.num_rows, "row")}, ${formatBytes(dataset.num_bytes)}`
            ) : (
              "What it shall learn."
            )
          }
        >
          {(control) => (
            <RowPicker
              {...control}
              placeholder="Choose a dataset"
              rows={datasets.data?.items}
              detail={(row) => formatCount(row.num_rows, "row")}
              value={dataset?.id ?? null}
              onValueChange={(id) => form.choose({ dataset: id })}
            />
          )}
        </Field>
      </div>
    </Section>
  );
}
