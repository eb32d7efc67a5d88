"use client";

import { useDebouncedText } from "@/components/app/use-debounced-text";
import { SearchInput } from "@/components/ui/input-group";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type RegistryFilter } from "../api";

const TYPES = [
  { value: "all", label: "All" },
  { value: "base", label: "Base models" },
  { value: "adapter", label: "Adapters" },
] as const;

interface ModelsToolbarProps {
  filter: RegistryFilter;
  onChange: (change: Partial<RegistryFilter>) => void;
}

export function ModelsToolbar({ filter, onChange }: ModelsToolbarProps) {
  const { text, setText, commitNow } = useDebouncedText(filter.text, (next) => onChange({ text: next }));
  return (
    <form
      role="search"
      aria-label="Models of the registry"
      className="flex flex-wrap items-center gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        commitNow(text);
      }}
    >
      <SearchInput
        aria-label="Search the registry"
        placeholder="Search by name, base or description"
        className="w-full min-w-0 sm:w-80"
        value={text}
        maxLength={200}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
      <ToggleGroup
        aria-label="Kind of model"
        options={TYPES}
        value={filter.type ?? "all"}
        onValueChange={(value) => onChange({ type: value === "all" ? null : value })}
      />
    </form>
  );
}
