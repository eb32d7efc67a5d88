"use client";

import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "@/components/ui/button";

interface CopyButtonProps {
  text: string | (() => string);
  /** Names the button, such as "Copy request id". */
  label: string;
  /** Also shows the label. */
  withText?: boolean;
  className?: string;
}

/** Copies, and says so where it was pressed. */
export function CopyButton({ text, label, withText, className }: CopyButtonProps) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");

  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), 2000);
    return () => clearTimeout(timer);
  }, [state]);

  async function copy() {
    try {
      await writeClipboard(typeof text === "function" ? text() : text);
      setState("copied");
    } catch {
      setState("failed");
    }
  }

  const said = { idle: label, copied: "Copied", failed: "Could not copy" }[state];
  return (
    <Button
      variant={withText ? "outline" : "ghost"}
      size={withText ? "sm" : "icon-sm"}
      aria-label={withText ? undefined : label}
      title={withText ? undefined : said}
      className={className}
      onClick={() => void copy()}
    >
      {state === "copied" ? <Check aria-hidden className="text-success" /> : <Copy aria-hidden />}
      {withText ? said : null}
      <span role="status" className="sr-only">
        {state === "idle" ? "" : said}
      </span>
    </Button>
  );
}

/** Over plain HTTP from another machine browsers offer no clipboard, only the old command. */
async function writeClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (!isDone) throw new Error("The browser refused to copy.");
}
