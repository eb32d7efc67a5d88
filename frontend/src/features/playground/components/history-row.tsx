"use client";

import { Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { RelativeTime } from "@/components/app/relative-time";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { Input } from "@/components/ui/input";
import { type Conversation } from "@/lib/chat/conversation";

interface HistoryRowProps {
  conversation: Conversation;
  isOpen: boolean;
  onOpen: () => void;
  onRename: (title: string) => void;
  onDelete: () => void;
}

export function HistoryRow({ conversation, isOpen, onOpen, onRename, onDelete }: HistoryRowProps) {
  const { title, model, compared, updatedAt } = conversation;
  const [name, setName] = useState<string | null>(null);

  function submit() {
    if (name?.trim() && name.trim() !== title) onRename(name.trim());
    setName(null);
  }

  if (name !== null) {
    return (
      <li>
        <form
          className="flex gap-2 p-1"
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          <Input
            autoFocus
            aria-label="New name"
            value={name}
            onChange={(event) => setName(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              // Not the sheet: Escape leaves what is innermost.
              event.stopPropagation();
              setName(null);
            }}
          />
          <Button type="submit">Rename</Button>
        </form>
      </li>
    );
  }
  return (
    <li className={cn("flex items-center gap-1 rounded-md hover:bg-accent", isOpen && "bg-accent")}>
      <button
        type="button"
        aria-current={isOpen || undefined}
        className="flex min-w-0 flex-1 flex-col gap-0.5 rounded-md px-2.5 py-2 text-left"
        onClick={onOpen}
      >
        <span className="w-full truncate text-sm font-medium">{title}</span>
        <span className="flex w-full gap-1.5 text-xs text-muted-foreground">
          <span className="truncate">{[model ?? "default model", ...(compared ? [compared.model] : [])].join(" · ")}</span>
          <RelativeTime at={updatedAt} />
        </span>
      </button>
      <Button variant="ghost" size="icon-sm" aria-label={`Rename ${title}`} title="Rename" onClick={() => setName(title)}>
        <Pencil aria-hidden />
      </Button>
      <Button variant="ghost" size="icon-sm" aria-label={`Delete ${title}`} title="Delete" onClick={onDelete}>
        <Trash2 aria-hidden />
      </Button>
    </li>
  );
}
