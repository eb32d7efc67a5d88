"use client";

import { X } from "lucide-react";
import dynamic from "next/dynamic";
import { useDebouncedText } from "@/components/app/use-debounced-text";
import { Button } from "@/components/ui/button";
import { SearchInput } from "@/components/ui/input-group";
import { Skeleton } from "@/components/ui/skeleton";
import { type HubFilter } from "../lib/search-params";

// Selects and switches are a third of the page's script, and nothing that one looks for first.
const FilterChoices = dynamic(() => import("./filter-choices").then((module) => module.FilterChoices), {
  ssr: false,
  loading: () => <Skeleton className="h-7 w-160 max-w-full" />,
});

interface SearchFiltersProps {
  filter: HubFilter;
  onChange: (change: Partial<HubFilter>, options?: { replaces?: boolean }) => void;
  /** Null when there is nothing to clear. */
  onClear: (() => void) | null;
}

export function SearchFilters({ filter, onChange, onClear }: SearchFiltersProps) {
  const { text, setText, commitNow } = useDebouncedText(filter.text, (next) => onChange({ text: next }, { replaces: true }));
  return (
    <form
      role="search"
      aria-label="Models on the hub"
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        commitNow(text);
      }}
    >
      <SearchInput
        aria-label="Search models on the hub"
        placeholder="Search by name or owner, such as Qwen3 or mlx-community"
        value={text}
        maxLength={200}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <FilterChoices filter={filter} onChange={onChange} />
        {onClear ? (
          <Button variant="ghost" size="sm" onClick={onClear}>
            <X aria-hidden />
            Clear all
          </Button>
        ) : null}
      </div>
    </form>
  );
}
