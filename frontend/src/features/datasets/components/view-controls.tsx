"use client";

import { useState } from "react";
import { Checkbox } from "@/components/ui/checkbox";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { Select, SelectContent, SelectItem, SelectTrigger, SelectValue } from "@/components/ui/select";
import { isLimit, LARGEST_LIMIT, SMALLEST_LIMIT, type ViewSettings } from "../lib/search-params";

const NONE = "none";

interface ViewControlsProps {
  models: readonly { id: string; name: string }[];
  settings: ViewSettings;
  /** What stands in place of a model; without it one must be chosen. */
  noModel?: string;
  onChange: (change: Partial<ViewSettings>) => void;
}

/** With which model's tokenizer, and how a training run would look at the rows. */
export function ViewControls({ models, settings, noModel, onChange }: ViewControlsProps) {
  return (
    <div className="flex flex-wrap items-end gap-x-4 gap-y-3">
      <Field label="Model" className="w-full sm:w-72">
        {(control) => (
          <Select
            value={settings.modelId ?? NONE}
            onValueChange={(value) => onChange({ modelId: value === NONE ? null : value })}
          >
            <SelectTrigger {...control}>
              <SelectValue placeholder="Choose a model" />
            </SelectTrigger>
            <SelectContent>
              {noModel ? <SelectItem value={NONE}>{noModel}</SelectItem> : null}
              {models.map(({ id, name }) => (
                <SelectItem key={id} value={id}>
                  {name}
                </SelectItem>
              ))}
            </SelectContent>
          </Select>
        )}
      </Field>
      {settings.modelId ? (
        <>
          <LimitField
            key={settings.maxSeqLength}
            value={settings.maxSeqLength}
            onCommit={(maxSeqLength) => onChange({ maxSeqLength })}
          />
          <Field inline label="Learn answers only" className="h-8 items-center">
            {(control) => (
              <Checkbox
                {...control}
                checked={settings.masksPrompt}
                onCheckedChange={(checked) => onChange({ masksPrompt: checked === true })}
              />
            )}
          </Field>
        </>
      ) : null}
    </div>
  );
}

/** Taken with Enter, or when the field is left. */
function LimitField({ value, onCommit }: { value: number; onCommit: (value: number) => void }) {
  const [text, setText] = useState(String(value));
  const wanted = Number(text);
  const isValid = isLimit(wanted);
  const commit = () => isValid && wanted !== value && onCommit(wanted);
  return (
    <Field
      label="Max. sequence length"
      error={isValid ? undefined : `From ${SMALLEST_LIMIT} to ${LARGEST_LIMIT}.`}
      className="w-44"
    >
      {(control) => (
        <Input
          {...control}
          type="number"
          min={SMALLEST_LIMIT}
          max={LARGEST_LIMIT}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onBlur={commit}
          onKeyDown={(event) => event.key === "Enter" && commit()}
        />
      )}
    </Field>
  );
}
