"use client";

import { useId } from "react";
import { Label } from "@/components/ui/label";
import { Select, SelectContent, SelectItem, SelectTrigger, SelectValue } from "@/components/ui/select";
import { Switch } from "@/components/ui/switch";
import { type HubFilter, type HubSort, QUANTIZATIONS, type SizeClass, SIZES, SORTS } from "../lib/search-params";

const ANY = "any";

interface FilterChoicesProps {
  filter: HubFilter;
  onChange: (change: Partial<HubFilter>) => void;
}

/** Quantisation, size, order, and what is left out. */
export function FilterChoices({ filter, onChange }: FilterChoicesProps) {
  return (
    <>
      <Choice
        label="Quantisation"
        value={filter.quantization ?? ANY}
        options={[[ANY, "Any quantisation"], ...Object.entries(QUANTIZATIONS)]}
        onChange={(value) => onChange({ quantization: value === ANY ? null : value })}
      />
      <Choice
        label="Size"
        value={filter.size}
        options={Object.entries(SIZES).map(([value, { label }]) => [value, label] as const)}
        onChange={(value) => onChange({ size: value as SizeClass })}
      />
      <Choice
        label="Order"
        value={filter.sort}
        options={Object.entries(SORTS)}
        onChange={(value) => onChange({ sort: value as HubSort })}
      />
      <Toggle label="Fits this machine" checked={filter.fitsOnly} onChange={(isOn) => onChange({ fitsOnly: isOn })} />
      <Toggle label="MLX only" checked={filter.mlxOnly} onChange={(isOn) => onChange({ mlxOnly: isOn })} />
    </>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [value: string, label: string])[];
  onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <Select value={value} onValueChange={onChange}>
      <SelectTrigger size="sm" aria-label={label} className="w-auto">
        <SelectValue />
      </SelectTrigger>
      <SelectContent>
        {options.map(([option, text]) => (
          <SelectItem key={option} value={option}>
            {text}
          </SelectItem>
        ))}
      </SelectContent>
    </Select>
  );
}

interface ToggleProps {
  label: string;
  checked: boolean;
  onChange: (isOn: boolean) => void;
}

function Toggle({ label, checked, onChange }: ToggleProps) {
  const id = useId();
  return (
    <span className="flex items-center gap-2">
      <Switch id={id} checked={checked} onCheckedChange={onChange} />
      <Label htmlFor={id} className="text-xs">
        {label}
      </Label>
    </span>
  );
}
