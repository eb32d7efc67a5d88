/** How queries are kept, tried again and told. */
import { MutationCache, QueryClient } from "@tanstack/react-query";
import { ApiError, isAbort } from "@/lib/api/errors";

const MAX_RETRIES = 2;
const MAX_DELAY_MS = 15_000;
/** A service that asks for more patience than this is told as an error, with the time. */
const MAX_RETRY_AFTER_SECONDS = 15;

/** Whether the request that has failed `numFailures` + 1 times is sent again. */
export function shouldRetry(numFailures: number, error: unknown): boolean {
  if (numFailures >= MAX_RETRIES || isAbort(error)) return false;
  if (!(error instanceof ApiError)) return false;
  if (error.status === null) return true;
  if ((error.retryAfterSeconds ?? 0) > MAX_RETRY_AFTER_SECONDS) return false;
  return error.status === 429 || error.status >= 500;
}

/** What Retry-After says, else half a second, one, two. */
export function retryDelay(numFailures: number, error: unknown): number {
  if (error instanceof ApiError && error.retryAfterSeconds !== null) return error.retryAfterSeconds * 1000;
  return Math.min(500 * 2 ** numFailures, MAX_DELAY_MS);
}

export interface QueryClientOptions {
  /** Called for each mutation that failed and does not say `meta: { tellsErrors: true }`. */
  onMutationError?: (error: unknown) => void;
}

export function createQueryClient({ onMutationError }: QueryClientOptions = {}): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // "always": both services may run on a machine without internet, where browsers say "offline".
      queries: { networkMode: "always", staleTime: 5_000, retry: shouldRetry, retryDelay },
      mutations: { networkMode: "always", retry: false },
    },
    mutationCache: new MutationCache({
      onError(error, _variables, _context, mutation) {
        if (!mutation.meta?.tellsErrors && !isAbort(error)) onMutationError?.(error);
      },
    }),
  });
}
