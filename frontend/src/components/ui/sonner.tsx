"use client";

import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import { useTheme } from "next-themes";
import { type CSSProperties } from "react";
import { Toaster as Sonner } from "sonner";
import { Spinner } from "./spinner";

const ICONS = {
  success: <CircleCheck className="size-4 text-success" />,
  error: <CircleAlert className="size-4 text-destructive" />,
  warning: <TriangleAlert className="size-4 text-warning" />,
  info: <Info className="size-4 text-info" />,
  loading: <Spinner />,
};

const STYLE = {
  "--normal-bg": "var(--popover)",
  "--normal-text": "var(--popover-foreground)",
  "--normal-border": "var(--border)",
  "--border-radius": "var(--radius)",
} as CSSProperties;

export function Toaster() {
  const { theme } = useTheme();
  return (
    <Sonner
      theme={theme as "light" | "dark" | "system" | undefined}
      position="bottom-right"
      closeButton
      icons={ICONS}
      style={STYLE}
      toastOptions={{
        classNames: {
          toast: "font-sans! shadow-lg! items-start!",
          description: "text-muted-foreground! break-words",
          closeButton: "size-6!",
        },
      }}
    />
  );
}
