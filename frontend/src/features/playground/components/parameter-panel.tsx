"use client";

import { Checkbox } from "@/components/ui/checkbox";
import { Collapsible, CollapsibleContent, CollapsibleTrigger } from "@/components/ui/collapsible";
import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { preferences, usePreferences } from "../hooks/preferences";
import { type Models } from "../hooks/use-models";
import { type Draft } from "../hooks/use-session";
import { EXAMPLE_SCHEMA, EXAMPLE_TOOLS, parseSchema, parseTools } from "../lib/json-input";
import { type NumberParameter, type Parameters } from "../lib/parameters";
import { JsonField } from "./json-field";
import { ParameterField } from "./parameter-field";
import { PresetPicker } from "./preset-picker";
import { StopField } from "./stop-field";

interface ParameterPanelProps {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  models: Models;
}

const MAIN: readonly NumberParameter[] = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "repetition_penalty", "seed"];
const MORE: readonly NumberParameter[] = ["presence_penalty", "frequency_penalty"];

const FORMATS = [
  { value: "text", label: "Text" },
  { value: "json_object", label: "JSON" },
  { value: "json_schema", label: "Schema" },
] as const;

const TOOL_CHOICES = [
  { value: "auto", label: "As it likes" },
  { value: "required", label: "Must call" },
  { value: "none", label: "Must not" },
] as const;

const EFFORTS = [
  { value: "default", label: "Default" },
  { value: "none", label: "None" },
  { value: "low", label: "Low" },
  { value: "medium", label: "Medium" },
  { value: "high", label: "High" },
] as const;

/** Everything that a request may set beside its messages. */
export function ParameterPanel({ draft, change, models }: ParameterPanelProps) {
  const { sendsOnEnter } = usePreferences();
  const { parameters } = draft;
  const set = (part: Partial<Parameters>) => change({ parameters: { ...parameters, ...part } });
  const abilities = models.abilities.get(draft.models[0] ?? "")?.abilities;
  const number = (name: NumberParameter) => (
    <ParameterField key={name} name={name} value={parameters[name]} onChange={(value) => set({ [name]: value })} />
  );
  return (
    <div className="flex flex-col gap-5 p-4">
      <PresetPicker draft={draft} change={change} />
      <Field label="System prompt" hint="Stands before the conversation.">
        {(control) => (
          <Textarea
            {...control}
            className="max-h-60"
            placeholder="You are a helpful assistant."
            value={draft.systemPrompt}
            onChange={(event) => change({ systemPrompt: event.target.value })}
          />
        )}
      </Field>
      {MAIN.map(number)}
      <StopField value={parameters.stop} onChange={(stop) => set({ stop })} />
      <div className="flex flex-col gap-3 border-t pt-4">
        <JsonField
          label="Tools"
          hint={
            abilities?.tools === false
              ? "This model's template takes no tools: it will refuse them."
              : "A JSON list of functions that the model may call."
          }
          value={parameters.tools}
          onChange={(tools) => set({ tools })}
          problem={parseTools(parameters.tools).problem}
          example={EXAMPLE_TOOLS}
        />
        {parameters.tools.trim() ? (
          <Choice
            label="Calls"
            value={parameters.toolChoice}
            options={TOOL_CHOICES}
            onChange={(toolChoice) => set({ toolChoice })}
          />
        ) : null}
      </div>
      <div className="flex flex-col gap-3 border-t pt-4">
        <Choice label="Answer" value={parameters.format} options={FORMATS} onChange={(format) => set({ format })} />
        {parameters.format === "json_schema" ? (
          <JsonField
            label="JSON schema"
            hint="The answer is one JSON value that it allows."
            value={parameters.schema}
            onChange={(schema) => set({ schema })}
            problem={parseSchema(parameters.schema).problem}
            example={EXAMPLE_SCHEMA}
          />
        ) : null}
      </div>
      <Collapsible className="border-t pt-4">
        <CollapsibleTrigger>More</CollapsibleTrigger>
        <CollapsibleContent className="flex flex-col gap-5 pt-3">
          {MORE.map(number)}
          <Choice
            label="Thinking"
            hint={abilities?.reasoning === false ? "This model marks no thoughts." : undefined}
            value={parameters.reasoningEffort ?? "default"}
            options={EFFORTS}
            onChange={(effort) => set({ reasoningEffort: effort === "default" ? null : effort })}
          />
          <Field inline label="Ignore the end of text" hint="Goes on to the token limit: for measuring speed.">
            {(control) => (
              <Checkbox
                {...control}
                checked={parameters.ignoresEnd}
                onCheckedChange={(checked) => set({ ignoresEnd: checked === true })}
              />
            )}
          </Field>
          <Field inline label="Enter sends" hint="Else Enter breaks the line, and Ctrl or ⌘ with Enter sends.">
            {(control) => (
              <Checkbox
                {...control}
                checked={sendsOnEnter}
                onCheckedChange={(checked) => preferences.set({ sendsOnEnter: checked === true })}
              />
            )}
          </Field>
        </CollapsibleContent>
      </Collapsible>
    </div>
  );
}

interface ChoiceProps<Value extends string> {
  label: string;
  hint?: string;
  value: Value;
  options: readonly { value: Value; label: string }[];
  onChange: (value: Value) => void;
}

function Choice<Value extends string>({ label, hint, value, options, onChange }: ChoiceProps<Value>) {
  return (
    <div className="flex flex-col gap-1.5">
      <p aria-hidden className="text-sm font-medium">
        {label}
      </p>
      <ToggleGroup
        aria-label={label}
        value={value}
        options={options}
        onValueChange={onChange}
        className="max-w-full flex-wrap"
      />
      {hint ? <p className="text-xs text-muted-foreground">{hint}</p> : null}
    </div>
  );
}
