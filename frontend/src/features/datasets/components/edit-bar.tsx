"use client";

import dynamic from "next/dynamic";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { formatInteger } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { countEdits, type Edits, type EditTarget, MAX_EDITS } from "../lib/edits";

const SaveEditsDialog = dynamic(() => import("./save-edits-dialog").then((module) => module.SaveEditsDialog), { ssr: false });

interface EditBarProps {
  dataset: Dataset;
  edits: Edits;
  onDiscard: () => void;
  onObjections: (objections: ReadonlyMap<EditTarget, string>) => void;
}

/** What was changed and is not saved; nothing while nothing is. */
export function EditBar({ dataset, edits, onDiscard, onObjections }: EditBarProps) {
  const [isSaving, setSaving] = useState(false);
  const { edited, deleted, added, total } = countEdits(edits);
  if (total === 0) return null;
  const parts = [
    [edited, "edited"],
    [deleted, "deleted"],
    [added, "new"],
  ] as const;
  return (
    <section
      aria-label="Unsaved changes"
      className="sticky bottom-3 flex flex-wrap items-center justify-between gap-2 rounded-xl border border-primary bg-popover px-4 py-2.5 shadow-md"
    >
      <p role="status" className="text-sm tabular-nums">
        {parts
          .filter(([count]) => count > 0)
          .map(([count, word]) => `${formatInteger(count)} ${word}`)
          .join(", ")}
        {total > MAX_EDITS ? `. At most ${formatInteger(MAX_EDITS)} changes fit into one version.` : null}
      </p>
      <div className="flex flex-wrap gap-2">
        <Button variant="outline" size="sm" onClick={onDiscard}>
          Discard
        </Button>
        <Button size="sm" disabled={total > MAX_EDITS} onClick={() => setSaving(true)}>
          Save as a new version
        </Button>
      </div>
      {isSaving ? (
        <SaveEditsDialog
          dataset={dataset}
          edits={edits}
          onObjections={onObjections}
          onSaved={onDiscard}
          onClose={() => setSaving(false)}
        />
      ) : null}
    </section>
  );
}
