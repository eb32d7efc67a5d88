import { CornerDownRight, Wrench } from "lucide-react";
import { ScrollArea } from "@/components/ui/scroll-area";
import { type ChatMessage, type ToolCall } from "@/lib/chat/conversation";
import { formatJSON } from "../lib/json-input";

/** What the model wants to have called. */
export function ToolCalls({ calls }: { calls: readonly ToolCall[] }) {
  return (
    <ul className="flex min-w-0 flex-col gap-2">
      {calls.map((call, index) => (
        <li key={call.id || index} className="min-w-0 overflow-hidden rounded-lg border">
          <p className="flex items-center gap-2 border-b bg-muted/50 px-3 py-1.5 text-xs font-medium">
            <Wrench aria-hidden className="size-3.5 text-muted-foreground" />
            Call of <code className="font-mono">{call.name || "…"}</code>
          </p>
          <ScrollArea label={`Arguments of ${call.name}`} className="max-h-60 px-3 py-2">
            <pre className="font-mono text-xs leading-5">{formatJSON(call.arguments) || "{}"}</pre>
          </ScrollArea>
        </li>
      ))}
    </ul>
  );
}

export function ToolResult({ message }: { message: ChatMessage }) {
  return (
    <article aria-label="Tool result" className="flex min-w-0 gap-2 text-sm text-muted-foreground">
      <CornerDownRight aria-hidden className="mt-1 size-3.5 shrink-0" />
      <ScrollArea label="Result" className="max-h-60 min-w-0 flex-1">
        <pre className="font-mono text-xs leading-5 break-words whitespace-pre-wrap">{message.content || "(empty)"}</pre>
      </ScrollArea>
    </article>
  );
}
