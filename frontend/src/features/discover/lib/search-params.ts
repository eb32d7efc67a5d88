/** The search of Discover as its address says it: `?q=qwen&quant=4-bit&size=small&fits=1&all=1&sort=likes&page=2`. */
import type { paths } from "@/lib/api/backend";
import { readPage } from "@/lib/api/pagination";

export type HubQuery = NonNullable<paths["/api/v1/discover/search"]["get"]["parameters"]["query"]>;
export type HubSort = NonNullable<HubQuery["sort"]>;

export interface HubFilter {
  text: string;
  /** A key of QUANTIZATIONS; null: any. */
  quantization: string | null;
  size: SizeClass;
  fitsOnly: boolean;
  mlxOnly: boolean;
  sort: HubSort;
  /** From 1. */
  page: number;
}

export const PAGE_SIZE = 20;
/** The hub is asked page by page; the API goes no further. */
const MAX_PAGE = 50;

/** By the API's name for it. */
export const QUANTIZATIONS: Record<string, string> = {
  "3-bit": "3-bit",
  "4-bit": "4-bit",
  "5-bit": "5-bit",
  "6-bit": "6-bit",
  "8-bit": "8-bit",
  none: "Not quantised",
};

const GB = 1_000_000_000;

interface SizeRange {
  label: string;
  minBytes?: number;
  maxBytes?: number;
}

/** By the bytes of the weights. */
export const SIZES = {
  any: { label: "Any size" },
  tiny: { label: "Under 2 GB", maxBytes: 2 * GB },
  small: { label: "2 to 8 GB", minBytes: 2 * GB, maxBytes: 8 * GB },
  medium: { label: "8 to 24 GB", minBytes: 8 * GB, maxBytes: 24 * GB },
  large: { label: "Over 24 GB", minBytes: 24 * GB },
} as const satisfies Record<string, SizeRange>;

export type SizeClass = keyof typeof SIZES;

export const SORTS: Record<HubSort, string> = {
  downloads: "Most downloads",
  trending: "Trending",
  likes: "Most likes",
  created: "Newest",
  modified: "Last updated",
};

export const NO_FILTER: HubFilter = {
  text: "",
  quantization: null,
  size: "any",
  fitsOnly: false,
  mlxOnly: true,
  sort: "downloads",
  page: 1,
};

/** What an address cannot mean counts as absent: it may have been typed. */
export function readFilter(params: Pick<URLSearchParams, "get">): HubFilter {
  const size = params.get("size") ?? "";
  const sort = params.get("sort") ?? "";
  const quantization = params.get("quant");
  const page = readPage(params);
  return {
    text: (params.get("q") ?? "").trim().slice(0, 200),
    quantization: quantization !== null && Object.hasOwn(QUANTIZATIONS, quantization) ? quantization : null,
    size: Object.hasOwn(SIZES, size) ? (size as SizeClass) : NO_FILTER.size,
    fitsOnly: params.get("fits") === "1",
    mlxOnly: params.get("all") !== "1",
    sort: Object.hasOwn(SORTS, sort) ? (sort as HubSort) : NO_FILTER.sort,
    page: page <= MAX_PAGE ? page : 1,
  };
}

/** The address's parameters for a change of the filter. Whatever changes, the first page is shown, unless a page is asked for. */
export function writeFilter(change: Partial<HubFilter>): Record<string, string | null> {
  const written: Record<string, string | null> = { page: null };
  for (const name of Object.keys(change) as (keyof HubFilter)[]) {
    const value = change[name];
    if (value !== undefined) written[PARAMETERS[name]] = WRITERS[name](value);
  }
  return written;
}

/** What the filter's parts are called in the address. */
const PARAMETERS: Record<keyof HubFilter, string> = {
  text: "q",
  quantization: "quant",
  size: "size",
  fitsOnly: "fits",
  mlxOnly: "all",
  sort: "sort",
  page: "page",
};

type Writer = (value: HubFilter[keyof HubFilter]) => string | null;

/** What is as usual is left out; but the order is named always: who asks for one wants the whole list. */
const WRITERS: Record<keyof HubFilter, Writer> = {
  text: (value) => String(value).trim() || null,
  quantization: (value) => (value === null ? null : String(value)),
  size: (value) => (value === NO_FILTER.size ? null : String(value)),
  fitsOnly: (value) => (value ? "1" : null),
  mlxOnly: (value) => (value ? null : "1"),
  sort: (value) => String(value),
  page: (value) => (Number(value) > 1 ? String(value) : null),
};

/** Every parameter of the filter, taken away. */
export const CLEARED: Record<string, null> = Object.fromEntries(Object.values(PARAMETERS).map((name) => [name, null]));

/** Nothing is asked for: time to show what others like. */
export function isUnfiltered(params: Pick<URLSearchParams, "has">): boolean {
  return !Object.keys(CLEARED).some((name) => params.has(name));
}

export function toQuery(filter: HubFilter, pageSize: number = PAGE_SIZE): HubQuery {
  const size: SizeRange = SIZES[filter.size];
  return {
    query: filter.text || undefined,
    mlx_only: filter.mlxOnly,
    sort: filter.sort,
    quantization: filter.quantization ?? undefined,
    min_bytes: size.minBytes,
    max_bytes: size.maxBytes,
    fits: filter.fitsOnly || undefined,
    page: filter.page,
    page_size: pageSize,
  };
}
