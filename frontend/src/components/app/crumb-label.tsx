"use client";

import { createContext, type ReactNode, useContext, useEffect, useState } from "react";

const Label = createContext<string | null>(null);
const SetLabel = createContext<(label: string | null) => void>(() => {});

export function CrumbLabelProvider({ children }: { children: ReactNode }) {
  const [label, setLabel] = useState<string | null>(null);
  return (
    <SetLabel value={setLabel}>
      <Label value={label}>{children}</Label>
    </SetLabel>
  );
}

export function useShownCrumbLabel(): string | null {
  return useContext(Label);
}

/** Names the open detail page in the breadcrumb and the browser's tab, once its data says how it is called. */
export function useCrumbLabel(label: string | null | undefined): void {
  const setLabel = useContext(SetLabel);
  useEffect(() => {
    if (!label) return;
    setLabel(label);
    document.title = `${label} · MLX Model Hub`;
    return () => setLabel(null);
  }, [label, setLabel]);
}
