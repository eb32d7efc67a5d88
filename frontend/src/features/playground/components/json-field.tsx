"use client";

import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";
import { formatJSON } from "../lib/json-input";

interface JsonFieldProps {
  label: string;
  hint: string;
  value: string;
  onChange: (value: string) => void;
  /** What is wrong and where; null when nothing is. */
  problem: string | null;
  example: string;
}

/** JSON to type or paste, checked as one types. */
export function JsonField({ label, hint, value, onChange, problem, example }: JsonFieldProps) {
  const isEmpty = !value.trim();
  return (
    <Field
      label={label}
      hint={hint}
      error={problem ?? undefined}
      action={
        <Button
          variant="ghost"
          size="sm"
          aria-label={isEmpty ? `Example of ${label.toLowerCase()}` : `Format ${label.toLowerCase()}`}
          onClick={() => onChange(isEmpty ? example : formatJSON(value))}
        >
          {isEmpty ? "Example" : "Format"}
        </Button>
      }
    >
      {(control) => (
        <Textarea
          {...control}
          spellCheck={false}
          className="max-h-72 font-mono text-xs"
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}
