"use client";

import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";

interface LocalNameFieldProps {
  value: string;
  error?: string;
  /** What it is called when the field stays empty. */
  otherwise: string;
  onChange: (value: string) => void;
}

/** The name of a model that is made on this machine. */
export function LocalNameField({ value, error, otherwise, onChange }: LocalNameFieldProps) {
  return (
    <Field label="Name" error={error} hint={`It is called local/<name>. Without one, ${otherwise}.`}>
      {(control) => (
        <Input
          {...control}
          value={value}
          maxLength={96}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}
