import "@fontsource-variable/geist";
import "@fontsource-variable/geist-mono";
import "./globals.css";
import { type Metadata, type Viewport } from "next";
import { connection } from "next/server";
import { type ReactNode } from "react";
import { Providers } from "@/components/app/providers";
import { readRuntimeConfig } from "@/config/env";

export const metadata: Metadata = {
  title: { default: "MLX Model Hub", template: "%s · MLX Model Hub" },
  description: "Find, download, fine-tune and serve MLX models on your own machine.",
};

export const viewport: Viewport = {
  colorScheme: "light dark",
  themeColor: [
    { media: "(prefers-color-scheme: light)", color: "#fafafc" },
    { media: "(prefers-color-scheme: dark)", color: "#0c0d10" },
  ],
};

export default async function RootLayout({ children }: { children: ReactNode }) {
  // Drawn per request: the environment of the running server counts, not that of the build.
  await connection();
  return (
    <html lang="en" suppressHydrationWarning>
      <body>
        <Providers config={readRuntimeConfig()}>{children}</Providers>
      </body>
    </html>
  );
}
