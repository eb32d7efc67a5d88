"use client";

import { lazy, Suspense } from "react";
import { cn } from "@/components/ui/cn";

export interface MarkdownProps {
  text: string;
  /** The text still grows: what is open, such as a code fence, is drawn as if it were closed. */
  streaming?: boolean;
  className?: string;
}

// A file of our own that imports the package: an import() of an ESM-only package itself is not split off in development.
const MarkdownBody = lazy(() => import("./markdown-body").then((module) => ({ default: module.MarkdownBody })));

/** Markdown as people write it on GitHub. The parser is loaded with the first one; until then the text stands as it is. */
export function Markdown(props: MarkdownProps) {
  return (
    <Suspense
      fallback={<p className={cn("text-sm leading-6 break-words whitespace-pre-wrap", props.className)}>{props.text}</p>}
    >
      <MarkdownBody {...props} />
    </Suspense>
  );
}
