"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { servedModels } from "@/components/app/shell-queries";
import { Combobox } from "@/components/ui/combobox";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { formatBytes } from "@/lib/format/bytes";
import { registry } from "../api";

const SOURCES = [
  { value: "local", label: "On this machine" },
  { value: "hub", label: "Hub id" },
] as const;

type Source = (typeof SOURCES)[number]["value"];

interface BaseModelFieldProps {
  value: string;
  error?: string;
  onChange: (value: string) => void;
}

/** Weights that are here already, by choice, or a hub id, by hand. */
export function BaseModelField({ value, error, onChange }: BaseModelFieldProps) {
  const options = useLocalModels();
  const [chosen, setSource] = useState<Source | null>(null);
  const source = chosen ?? (options.length ? "local" : "hub");
  const toggle = (
    <ToggleGroup
      aria-label="Where the base model comes from"
      options={SOURCES}
      value={source}
      onValueChange={(next) => {
        setSource(next);
        onChange("");
      }}
    />
  );
  const hint =
    source === "local"
      ? "Base models that are here, and models of the registry to stand on."
      : "owner/name on the hub. Its files are not fetched by this: download it in Discover.";
  return (
    <Field label="Base model" required error={error} hint={hint} action={toggle}>
      {(control) =>
        source === "local" ? (
          <Combobox
            {...control}
            options={options}
            value={value || null}
            onValueChange={onChange}
            placeholder={options.length ? "Choose a model" : "No model is here yet"}
            disabled={options.length === 0}
          />
        ) : (
          <Input
            {...control}
            value={value}
            maxLength={200}
            placeholder="mlx-community/Qwen3-0.6B-4bit"
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => onChange(event.target.value)}
          />
        )
      }
    </Field>
  );
}

function useLocalModels() {
  const { data: served } = useQuery(servedModels);
  const { data: registered } = useQuery(registry({ text: "", type: null }));
  const details = new Map<string, string>();
  for (const model of registered?.items ?? []) details.set(model.name, model.type === "adapter" ? "adapter" : "registered");
  for (const [name, model] of Object.entries(served?.models ?? {})) {
    if (model.type === "base") details.set(name, formatBytes(model.weight_bytes));
  }
  return [...details]
    .map(([name, detail]) => ({ value: name, label: name, detail }))
    .sort((a, b) => a.label.localeCompare(b.label));
}
