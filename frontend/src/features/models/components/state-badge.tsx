import { Pin } from "lucide-react";
import { StatusBadge } from "@/components/app/status-badge";
import { ABSENT } from "@/lib/format/numbers";
import { type State } from "../lib/model-rows";

/** Whether a model is in the inference server's memory, could be, or is not there at all. */
export function StateBadge({ state, isPinned }: { state: State; isPinned?: boolean }) {
  if (state === "unknown") return <span title="The inference server does not answer">{ABSENT}</span>;
  return (
    <span className="inline-flex items-center gap-1.5">
      {state === "absent" ? <StatusBadge status="absent" label="Not served" /> : null}
      {state === "loading" ? <StatusBadge status="running" label="Loading" /> : null}
      {state === "loaded" || state === "unloaded" ? <StatusBadge status={state} /> : null}
      {isPinned ? (
        <span title="Pinned: it stays in memory">
          <Pin aria-hidden className="size-3.5 text-muted-foreground" />
          <span className="sr-only">Pinned</span>
        </span>
      ) : null}
    </span>
  );
}
