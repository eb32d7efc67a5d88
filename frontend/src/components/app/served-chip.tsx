"use client";

import { useQuery } from "@tanstack/react-query";
import { Cpu } from "lucide-react";
import Link from "next/link";
import { type Inference } from "@/lib/api/client";
import { formatCount } from "@/lib/format/numbers";
import { ByteSize } from "./byte-size";
import { PanelButton } from "./panel-button";
import { servedModels } from "./shell-queries";

/** Which models are in memory now, and how much they take. */
export function ServedChip() {
  const { data } = useQuery(servedModels);
  if (!data) return null;
  const loaded = Object.entries(data.models).filter(([, model]) => model.loaded);
  // An adapter's own weights are small; its base counts once, under its own name.
  const totalBytes = loaded.reduce((sum, [, model]) => sum + (model.weight_bytes ?? 0), 0);
  return (
    <PanelButton
      variant="outline"
      size="sm"
      className="hidden md:inline-flex"
      panelLabel="Models in memory"
      panelClassName="p-1"
      panel={(close) => <LoadedModels loaded={loaded} onFollow={close} />}
    >
      <Cpu aria-hidden className="text-muted-foreground" />
      {loaded.length ? (
        <>
          {formatCount(loaded.length, "model")} loaded
          <ByteSize bytes={totalBytes} className="text-muted-foreground" />
        </>
      ) : (
        "No model loaded"
      )}
    </PanelButton>
  );
}

interface LoadedModelsProps {
  loaded: readonly [string, Inference<"AdminModel">][];
  onFollow: () => void;
}

function LoadedModels({ loaded, onFollow }: LoadedModelsProps) {
  if (loaded.length === 0) {
    return (
      <p className="px-3 py-5 text-center text-sm text-balance text-muted-foreground">
        Models load with their first request, or from the Models page.
      </p>
    );
  }
  return (
    <ul className="flex flex-col">
      {loaded.map(([name, model]) => (
        <li key={name}>
          <Link
            href={`/inference?models=${encodeURIComponent(name)}`}
            onClick={onFollow}
            className="flex flex-col gap-0.5 rounded-md px-2.5 py-2 hover:bg-accent"
          >
            <span className="truncate text-sm font-medium">{name}</span>
            <span className="flex gap-2 text-xs text-muted-foreground">
              <span>{model.type === "lora" ? "Adapter" : "Base model"}</span>
              <ByteSize bytes={model.weight_bytes} />
              {model.pinned ? <span>Pinned</span> : null}
              {model.num_active ? <span>{formatCount(model.num_active, "request")}</span> : null}
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}
