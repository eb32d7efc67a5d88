"use client";

// Imported by `markdown.tsx` alone, and lazily.
import { Streamdown } from "streamdown";
import { cn } from "@/components/ui/cn";
import { type MarkdownProps } from "./markdown";
import { MARKDOWN_ELEMENTS } from "./markdown-elements";

export function MarkdownBody({ text, streaming, className }: MarkdownProps) {
  return (
    <Streamdown
      className={cn("flex min-w-0 flex-col gap-3 text-sm leading-6 break-words", className)}
      components={MARKDOWN_ELEMENTS}
      mode={streaming ? "streaming" : "static"}
      parseIncompleteMarkdown={streaming}
      controls={false}
      linkSafety={NO_QUESTION}
    >
      {text}
    </Streamdown>
  );
}

/** Links show where they lead and open in a tab of their own. */
const NO_QUESTION = { enabled: false };
