"use client";

import { useState } from "react";
import { Collapsible, CollapsibleContent, CollapsibleTrigger } from "@/components/ui/collapsible";

/** The model's thoughts: open while it has nothing else to show, then folded; a click decides from there on. */
export function Reasoning({ text, isThinking }: { text: string; isThinking: boolean }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  return (
    <Collapsible open={chosen ?? isThinking} onOpenChange={setChosen}>
      <CollapsibleTrigger>{isThinking ? "Thinking…" : "Thoughts"}</CollapsibleTrigger>
      <CollapsibleContent>
        <p className="mt-1.5 border-l-2 pl-3 text-sm leading-6 break-words whitespace-pre-wrap text-muted-foreground">
          {text.trim()}
        </p>
      </CollapsibleContent>
    </Collapsible>
  );
}
