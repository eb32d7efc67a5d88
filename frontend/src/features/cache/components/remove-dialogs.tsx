"use client";

import { ConfirmDialog } from "@/components/app/confirm-dialog";
import { toastSuccess } from "@/components/app/toasts";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";
import { type CacheEntry, useCacheActions } from "../api";

export function RemoveDialog({ entry, onClose }: { entry: CacheEntry; onClose: () => void }) {
  const { remove } = useCacheActions();
  return (
    <ConfirmDialog
      open
      onOpenChange={(open) => !open && onClose()}
      title="Delete this entry?"
      action="Delete"
      onConfirm={async () => {
        await remove.mutateAsync(entry.cache_key);
        toastSuccess("Entry deleted");
      }}
    >
      <p className="mb-2 line-clamp-3 rounded-md bg-muted px-2.5 py-2 text-foreground">{entry.prompt_preview}</p>
      Frees {formatBytes(entry.num_bytes)}. The next request with this prompt computes its{" "}
      {formatCount(entry.token_count, "token")} again.
    </ConfirmDialog>
  );
}

interface ClearDialogProps {
  entries: readonly CacheEntry[];
  persists: boolean;
  onClose: () => void;
}

export function ClearDialog({ entries, persists, onClose }: ClearDialogProps) {
  const { clear } = useCacheActions();
  const numBytes = entries.reduce((sum, entry) => sum + entry.num_bytes, 0);
  return (
    <ConfirmDialog
      open
      onOpenChange={(open) => !open && onClose()}
      title="Clear the prompt cache?"
      action="Clear"
      typeToConfirm="clear"
      onConfirm={async () => {
        const { entries_removed: numRemoved } = await clear.mutateAsync();
        toastSuccess("Cache cleared", { description: `${formatCount(numRemoved, "entry", "entries")} removed` });
      }}
    >
      {formatCount(entries.length, "entry", "entries")} of {formatBytes(numBytes)} go
      {persists ? ", from memory and from disk" : ""}. Each prompt is computed afresh when it is next used. Counts of hits and
      misses stay.
    </ConfirmDialog>
  );
}
