"use client";

import { useURLParams } from "@/components/app/url-params";
import { CLEARED, isUnfiltered, readFilter, writeFilter } from "../lib/search-params";
import { SearchFilters } from "./search-filters";
import { SearchResults } from "./search-results";
import { Showcase } from "./showcase";

/** Search and its results; before that, what is popular and what is new. */
export function Browse() {
  const { params, change } = useURLParams();
  const filter = readFilter(params);
  const isEmpty = isUnfiltered(params);
  const clear = () => change(CLEARED);
  return (
    <div className="flex flex-col gap-5">
      <SearchFilters
        filter={filter}
        onChange={(wanted, options) => change(writeFilter(wanted), options)}
        onClear={isEmpty ? null : clear}
      />
      {isEmpty ? (
        <>
          <Showcase
            title="Popular"
            description="What most people download."
            sort="downloads"
            onShowAll={(sort) => change(writeFilter({ sort }))}
          />
          <Showcase
            title="Recent"
            description="New on the hub."
            sort="created"
            onShowAll={(sort) => change(writeFilter({ sort }))}
          />
        </>
      ) : (
        <SearchResults filter={filter} onPageChange={(page) => change(writeFilter({ page }))} onClear={clear} />
      )}
    </div>
  );
}
