"use client";

import { QueryClientProvider } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { ThemeProvider } from "next-themes";
import { createContext, type ReactNode, useContext, useState } from "react";
import { type RuntimeConfig } from "@/config/env";
import { setDeployedURLs } from "@/lib/api/endpoints";
import { createQueryClient } from "@/lib/api/query-client";
import { toastError } from "./toasts";

const Config = createContext<RuntimeConfig | null>(null);

const Toaster = dynamic(() => import("@/components/ui/sonner").then((module) => module.Toaster), { ssr: false });

const Devtools =
  process.env.NODE_ENV === "development"
    ? dynamic(() => import("@tanstack/react-query-devtools").then((module) => module.ReactQueryDevtools), {
        ssr: false,
      })
    : null;

/** Where the server says that Grafana and the others are. For the two services ask lib/api/endpoints, which knows Settings too. */
export function useRuntimeConfig(): RuntimeConfig {
  const config = useContext(Config);
  if (!config) throw new Error("useRuntimeConfig needs Providers above it");
  return config;
}

export function Providers({ config, children }: { config: RuntimeConfig; children: ReactNode }) {
  const [client] = useState(() => {
    // Before the first request of any component below.
    setDeployedURLs({ backend: config.backendUrl, inference: config.inferenceUrl });
    return createQueryClient({ onMutationError: toastError });
  });
  return (
    <Config value={config}>
      <QueryClientProvider client={client}>
        <ThemeProvider attribute="class" defaultTheme="system" enableSystem disableTransitionOnChange>
          {children}
          <Toaster />
        </ThemeProvider>
        {Devtools ? <Devtools buttonPosition="bottom-left" /> : null}
      </QueryClientProvider>
    </Config>
  );
}
