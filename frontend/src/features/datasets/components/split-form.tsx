"use client";

import Link from "next/link";
import { useState } from "react";
import { FormAlert } from "@/components/app/form-alert";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { formatCount } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { useSplit } from "../mutations";

const FIELDS = ["validation_share", "seed", "train_name", "validation_name"];

export function SplitForm({ dataset }: { dataset: Dataset }) {
  const split = useSplit(dataset.id);
  const [percent, setPercent] = useState("10");
  const [seed, setSeed] = useState("42");
  const [trainName, setTrainName] = useState("");
  const [validationName, setValidationName] = useState("");
  const told = formErrors(split.error, FIELDS);
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        split.mutate({
          validation_share: Number(percent) / 100,
          seed: Number(seed),
          train_name: trainName.trim() || null,
          validation_name: validationName.trim() || null,
        });
      }}
    >
      <FormAlert message={told.other} />
      <div className="grid grid-cols-2 gap-3">
        <Field label="Validation, %" error={told.fields.validation_share} hint="At most half.">
          {(control) => (
            <Input
              {...control}
              type="number"
              required
              min={0.1}
              max={50}
              step="any"
              value={percent}
              onChange={(event) => setPercent(event.target.value)}
            />
          )}
        </Field>
        <Field label="Seed" error={told.fields.seed} hint="The same seed, the same parts.">
          {(control) => (
            <Input
              {...control}
              type="number"
              required
              min={0}
              max={2 ** 31 - 1}
              value={seed}
              onChange={(event) => setSeed(event.target.value)}
            />
          )}
        </Field>
      </div>
      <Field label="Name of the training part" error={told.fields.train_name}>
        {(control) => (
          <Input
            {...control}
            value={trainName}
            maxLength={200}
            placeholder={`${dataset.name}-train`}
            onChange={(event) => setTrainName(event.target.value)}
          />
        )}
      </Field>
      <Field label="Name of the validation part" error={told.fields.validation_name}>
        {(control) => (
          <Input
            {...control}
            value={validationName}
            maxLength={200}
            placeholder={`${dataset.name}-validation`}
            onChange={(event) => setValidationName(event.target.value)}
          />
        )}
      </Field>
      <div className="flex flex-wrap items-center gap-3">
        <Button type="submit" variant="outline" pending={split.isPending}>
          Split
        </Button>
        <div role="status" className="min-w-0 text-sm">
          {split.data ? <Made parts={[split.data.train, split.data.validation]} /> : null}
        </div>
      </div>
    </form>
  );
}

function Made({ parts }: { parts: readonly Dataset[] }) {
  return (
    <ul aria-label="Parts" className="flex flex-col gap-1">
      {parts.map(({ id, name, num_rows }) => (
        <li key={id}>
          <Link href={`/datasets/${id}`} className="break-words text-primary-text underline underline-offset-4">
            {name}
          </Link>{" "}
          <span className="text-muted-foreground">{formatCount(num_rows, "row")}</span>
        </li>
      ))}
    </ul>
  );
}
