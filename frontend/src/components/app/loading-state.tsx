import { Skeleton } from "@/components/ui/skeleton";

interface LoadingStateProps {
  /** What is being loaded, as in "the models". */
  what: string;
  /** rows: a list or table. cards: a grid. page: a header and rows. */
  shape?: "rows" | "cards" | "page";
  count?: number;
}

/** Holds the place, so that nothing jumps when the answer comes. */
export function LoadingState({ what, shape = "rows", count = shape === "cards" ? 4 : 6 }: LoadingStateProps) {
  const items = Array.from({ length: count }, (_, index) => index);
  return (
    <div role="status" data-slot="loading-state" className="flex flex-col gap-5">
      <span className="sr-only">Loading {what}</span>
      {shape === "page" ? (
        <div className="flex flex-col gap-2">
          <Skeleton className="h-7 w-48" />
          <Skeleton className="h-4 w-full max-w-80" />
        </div>
      ) : null}
      {shape === "cards" ? (
        <div className="grid grid-cols-1 gap-3 sm:grid-cols-2 lg:grid-cols-4">
          {items.map((item) => (
            <Skeleton key={item} className="h-28 rounded-xl" />
          ))}
        </div>
      ) : (
        <div className="flex flex-col divide-y overflow-hidden rounded-xl border">
          {items.map((item) => (
            <div key={item} className="flex h-11 items-center gap-4 px-4">
              <Skeleton className="h-4 w-1/3" />
              <Skeleton className="ml-auto h-4 w-16" />
            </div>
          ))}
        </div>
      )}
    </div>
  );
}
