"use client";

import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";

export interface About {
  description: string;
  /** As they are typed: a line each. */
  tags: string;
}

interface AboutFieldsProps {
  value: About;
  errors: Partial<About>;
  onChange: (change: Partial<About>) => void;
}

/** What people say of a model. */
export function AboutFields({ value, errors, onChange }: AboutFieldsProps) {
  return (
    <>
      <Field label="Description" error={errors.description}>
        {(control) => (
          <Textarea
            {...control}
            value={value.description}
            maxLength={10_000}
            onChange={(event) => onChange({ description: event.target.value })}
          />
        )}
      </Field>
      <Field label="Tags" error={errors.tags} hint="One a line, such as team: search.">
        {(control) => (
          <Textarea {...control} rows={3} value={value.tags} onChange={(event) => onChange({ tags: event.target.value })} />
        )}
      </Field>
    </>
  );
}
