import { QueryClientProvider, type QueryClient } from "@tanstack/react-query";
import { render, type RenderResult } from "@testing-library/react";
import userEvent, { type UserEvent } from "@testing-library/user-event";
import { type ReactNode } from "react";
import { createQueryClient, type QueryClientOptions } from "@/lib/api/query-client";

interface RenderedApp extends RenderResult {
  client: QueryClient;
  user: UserEvent;
}

/** Renders as the shell would, with a query cache of its own that never tries a request again. */
export function renderApp(ui: ReactNode, options: QueryClientOptions = {}): RenderedApp {
  const client = createQueryClient(options);
  const { queries, ...others } = client.getDefaultOptions();
  client.setDefaultOptions({ ...others, queries: { ...queries, retry: false } });
  const user = userEvent.setup();
  const rendered = render(<QueryClientProvider client={client}>{ui}</QueryClientProvider>);
  return { ...rendered, client, user };
}
