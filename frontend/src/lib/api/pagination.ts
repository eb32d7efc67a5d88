/** Lists of the backend: `{items, total, page, page_size}`, pages counted from 1. */

export interface Page<T> {
  items: T[];
  total: number;
  page: number;
  page_size: number;
}

export function numPages(page: Pick<Page<unknown>, "total" | "page_size">): number {
  return Math.max(1, Math.ceil(page.total / page.page_size));
}

/** The numbers of the first and last row shown, from 1; null for an empty page. */
export function shownRange(page: Page<unknown>): { first: number; last: number } | null {
  if (page.items.length === 0) return null;
  const first = (page.page - 1) * page.page_size + 1;
  return { first, last: first + page.items.length - 1 };
}

/** For useInfiniteQuery. */
export function nextPage(page: Page<unknown>): number | undefined {
  return page.page < numPages(page) ? page.page + 1 : undefined;
}

/** Every row, page by page, at most `maxRows`; for choosers, not for tables. */
export async function fetchAll<T>(fetchPage: (page: number) => Promise<Page<T>>, maxRows = 1_000): Promise<T[]> {
  const rows: T[] = [];
  for (let number: number | undefined = 1; number !== undefined && rows.length < maxRows;) {
    const page: Page<T> = await fetchPage(number);
    rows.push(...page.items);
    number = page.items.length ? nextPage(page) : undefined;
  }
  return rows.slice(0, maxRows);
}

/** From 1; also for what is no number. */
export function readPage(params: Pick<URLSearchParams, "get">): number {
  const page = Number(params.get("page"));
  return Number.isInteger(page) && page > 0 ? page : 1;
}

/** For the address: the first page is what one sees without it. */
export function writePage(page: number): { page: string | null } {
  return { page: page > 1 ? String(page) : null };
}
