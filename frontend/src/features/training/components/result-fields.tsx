"use client";

import { Section } from "@/components/app/page";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type JobFormState } from "../hooks/use-job-form";

const PROMOTIONS = [
  { value: "if_first", label: "If it is the first" },
  { value: "always", label: "Always" },
  { value: "never", label: "Never" },
] as const;

/** What comes of the job, and how it is called. */
export function ResultFields({ form }: { form: JobFormState }) {
  const { state, errors, set } = form;
  return (
    <Section title="Result">
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="Adapter"
          error={errors.adapter_name}
          hint="A new name, or an adapter of the same model: then it becomes its next version."
        >
          {(control) => (
            <Input
              {...control}
              value={state.adapterName}
              maxLength={200}
              autoComplete="off"
              placeholder="from model and dataset"
              onChange={(event) => set({ adapterName: event.target.value })}
            />
          )}
        </Field>
        <Field label="Name of the job" error={errors.name} hint="For the list of jobs.">
          {(control) => (
            <Input
              {...control}
              value={state.name}
              maxLength={200}
              autoComplete="off"
              placeholder="as the adapter"
              onChange={(event) => set({ name: event.target.value })}
            />
          )}
        </Field>
      </div>
      <div className="flex flex-col gap-1.5">
        <span className="text-sm font-medium">Make it the champion</span>
        <ToggleGroup
          aria-label="Make it the champion"
          options={PROMOTIONS}
          value={state.promotion}
          onValueChange={(promotion) => set({ promotion })}
        />
        <p className="text-xs text-muted-foreground">
          Clients that ask for …@champion get it. The first one only if it is better than the base model.
        </p>
      </div>
    </Section>
  );
}
