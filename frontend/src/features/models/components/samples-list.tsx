"use client";

import { Collapsible, CollapsibleContent, CollapsibleTrigger } from "@/components/ui/collapsible";
import { formatCount } from "@/lib/format/numbers";
import { type Version } from "../lib/model-rows";

/** Answers before and after training to the same prompts. */
export function SamplesList({ samples }: { samples: Version["samples"] }) {
  if (samples.length === 0) return null;
  return (
    <Collapsible>
      <CollapsibleTrigger>{formatCount(samples.length, "sample")}, before and after</CollapsibleTrigger>
      <CollapsibleContent>
        <ul className="mt-2 flex flex-col gap-3">
          {samples.map((sample, index) => (
            <li key={index} className="flex flex-col gap-2 rounded-lg border p-3 text-sm">
              <p className="break-words whitespace-pre-wrap">
                <span className="text-xs text-muted-foreground">Prompt </span>
                {sample.prompt}
              </p>
              <div className="grid gap-3 md:grid-cols-3">
                <Answer title="Expected" text={sample.expected} />
                <Answer title="Base" text={sample.base} />
                <Answer title="Adapter" text={sample.adapter} />
              </div>
            </li>
          ))}
        </ul>
      </CollapsibleContent>
    </Collapsible>
  );
}

function Answer({ title, text }: { title: string; text: string | null }) {
  return (
    <div className="flex min-w-0 flex-col gap-0.5">
      <span className="text-xs text-muted-foreground">{title}</span>
      <p className="text-xs leading-5 break-words whitespace-pre-wrap">{text || "--"}</p>
    </div>
  );
}
