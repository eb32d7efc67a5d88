"use client";

import { ErrorState } from "@/components/app/error-state";
import { Page } from "@/components/app/page";

/** What a page threw; the shell stays usable. */
export default function PageError({ error, reset }: { error: Error; reset: () => void }) {
  return (
    <Page>
      <h1 className="sr-only">Something went wrong</h1>
      <ErrorState error={error} onRetry={reset} />
    </Page>
  );
}
