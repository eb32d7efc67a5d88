"use client";

import { Check, ChevronsUpDown, Circle, CircleDot, TriangleAlert } from "lucide-react";
import { type ComponentProps, useState } from "react";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { Command, CommandEmpty, CommandGroup, CommandInput, CommandItem, CommandList } from "@/components/ui/command";
import { Popover, PopoverContent, PopoverTrigger } from "@/components/ui/popover";
import { Spinner } from "@/components/ui/spinner";
import { formatBytes } from "@/lib/format/bytes";
import { type Models } from "../hooks/use-models";
import { buildModelTree, type ServedModel } from "../lib/model-tree";

interface ModelPickerProps {
  value: string | null;
  onChoose: (name: string) => void;
  models: Models;
  /** Tells two pickers apart. */
  label?: string;
}

/** Served models, adapters under their base. Choosing one loads it. */
export function ModelPicker({ value, onChoose, models, label = "Model" }: ModelPickerProps) {
  const [open, setOpen] = useState(false);
  return (
    <Popover open={open} onOpenChange={setOpen}>
      <PopoverTrigger asChild>
        <PickerButton value={value} label={label} models={models} aria-expanded={open} />
      </PopoverTrigger>
      <PopoverContent aria-label="Served models" className="w-88 p-0">
        <Command label="Search models">
          <CommandInput placeholder="Search models…" />
          <CommandList>
            <CommandEmpty>No served model matches.</CommandEmpty>
            <CommandGroup>
              {buildModelTree(models.served)
                .flatMap((node) => [
                  ...(node.model ? [{ name: node.name, model: node.model, isNested: false }] : []),
                  ...node.adapters.map((adapter) => ({ ...adapter, isNested: true })),
                ])
                .map(({ name, model, isNested }) => (
                  <CommandItem
                    key={name}
                    value={name}
                    className={cn(isNested && "pl-6")}
                    onSelect={() => {
                      setOpen(false);
                      if (name !== value) onChoose(name);
                    }}
                  >
                    <StateIcon isLoading={models.loading === name} model={model} />
                    <span className="min-w-0 flex-1 truncate">{name}</span>
                    <span className="shrink-0 text-xs text-muted-foreground">{detailOf(model, models.loading === name)}</span>
                    <Check aria-hidden className={cn(name !== value && "invisible")} />
                  </CommandItem>
                ))}
            </CommandGroup>
          </CommandList>
        </Command>
      </PopoverContent>
    </Popover>
  );
}

interface PickerButtonProps extends Omit<ComponentProps<"button">, "value"> {
  value: string | null;
  label: string;
  models: Models;
}

/** The chosen model, and whether it is in memory. */
function PickerButton({ value, label, models, ...props }: PickerButtonProps) {
  const state = stateOf(value, models);
  const isMissing = state === "not served";
  const isLoading = state === "loading";
  const chosen = value === null ? undefined : models.served[value];
  return (
    <Button
      variant="outline"
      role="combobox"
      aria-label={`${label}: ${value ?? "none"}, ${state}`}
      className="max-w-72 min-w-0 shrink justify-between"
      {...props}
    >
      {isMissing ? <TriangleAlert aria-hidden className="text-warning" /> : <StateIcon isLoading={isLoading} model={chosen} />}
      <span className="truncate">{value ?? "Choose a model"}</span>
      {isLoading || isMissing ? <span className="text-xs text-muted-foreground">{state}</span> : null}
      <ChevronsUpDown aria-hidden className="text-muted-foreground" />
    </Button>
  );
}

function stateOf(name: string | null, models: Models): "not served" | "loading" | "loaded" | "not loaded" {
  if (name === null || !models.isKnown) return "not loaded";
  const model = models.served[name];
  if (!model) return "not served";
  if (models.loading === name) return "loading";
  return model.loaded ? "loaded" : "not loaded";
}

function StateIcon({ isLoading, model }: { isLoading: boolean; model: ServedModel | undefined }) {
  if (isLoading) return <Spinner />;
  return model?.loaded ? (
    <CircleDot aria-hidden className="text-success!" />
  ) : (
    <Circle aria-hidden className="text-muted-foreground" />
  );
}

function detailOf(model: ServedModel, isLoading: boolean): string {
  const state = isLoading
    ? "loading"
    : model.loaded
      ? "loaded"
      : model.type === "lora"
        ? "adapter"
        : formatBytes(model.weight_bytes);
  return model.quantization ? `${model.quantization} · ${state}` : state;
}
