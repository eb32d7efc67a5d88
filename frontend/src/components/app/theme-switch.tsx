"use client";

import { Monitor, Moon, Sun } from "lucide-react";
import { useTheme } from "next-themes";
import { useSyncExternalStore } from "react";
import { Skeleton } from "@/components/ui/skeleton";
import { ToggleGroup } from "@/components/ui/toggle-group";

export type ThemeName = "light" | "dark" | "system";

const OPTIONS = [
  { value: "light" as const, label: "Light", icon: <Sun aria-hidden /> },
  { value: "system" as const, label: "System", icon: <Monitor aria-hidden /> },
  { value: "dark" as const, label: "Dark", icon: <Moon aria-hidden /> },
];

export function ThemeSwitch({ withText }: { withText?: boolean }) {
  const { theme, setTheme } = useTheme();
  // Only the browser knows the choice.
  const isMounted = useSyncExternalStore(
    () => () => {},
    () => true,
    () => false,
  );
  if (!isMounted) return <Skeleton className="h-7 w-24" />;
  return (
    <ToggleGroup<ThemeName>
      aria-label="Theme"
      value={(theme ?? "system") as ThemeName}
      onValueChange={setTheme}
      options={OPTIONS.map((option) => ({ ...option, iconOnly: !withText }))}
    />
  );
}
