"use client";

import { useState } from "react";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Textarea } from "@/components/ui/textarea";
import { type ToolCall } from "@/lib/chat/conversation";

interface ToolResultFormProps {
  calls: readonly ToolCall[];
  /** Results by the ids of their calls. */
  onSend: (results: ReadonlyMap<string, string>) => void;
}

/** Plays the tools: the model goes on with what is entered here. */
export function ToolResultForm({ calls, onSend }: ToolResultFormProps) {
  const [results, setResults] = useState<ReadonlyMap<string, string>>(new Map());
  return (
    <form
      className="flex flex-col gap-3 rounded-lg border p-3"
      onSubmit={(event) => {
        event.preventDefault();
        onSend(new Map(calls.map((call) => [call.id, results.get(call.id) ?? ""])));
      }}
    >
      {calls.map((call) => (
        <Field key={call.id} label={`Result of ${call.name}`}>
          {(control) => (
            <Textarea
              {...control}
              className="font-mono text-xs"
              placeholder='{"temperature": 21}'
              value={results.get(call.id) ?? ""}
              onChange={(event) => setResults(new Map(results).set(call.id, event.target.value))}
            />
          )}
        </Field>
      ))}
      <div className="flex items-center justify-between gap-2">
        <p className="text-xs text-muted-foreground">The model waits for this. Or just ask something else.</p>
        <Button type="submit" size="sm">
          {calls.length > 1 ? "Send results" : "Send result"}
        </Button>
      </div>
    </form>
  );
}
