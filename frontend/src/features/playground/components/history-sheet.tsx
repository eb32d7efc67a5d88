"use client";

import { useQuery } from "@tanstack/react-query";
import { MessagesSquare } from "lucide-react";
import { useState } from "react";
import { EmptyState } from "@/components/app/empty-state";
import { ErrorState } from "@/components/app/error-state";
import { LoadingState } from "@/components/app/loading-state";
import { Button } from "@/components/ui/button";
import { SearchInput } from "@/components/ui/input-group";
import { Sheet, SheetContent, SheetDescription, SheetHeader, SheetTitle } from "@/components/ui/sheet";
import { type Conversation } from "@/lib/chat/conversation";
import { history, useHistoryChanges } from "../api";
import { type Session } from "../hooks/use-session";
import { searchConversations } from "../lib/search-history";
import { HistoryRow } from "./history-row";

/** Conversations of this browser: search, open, rename, delete. */
export function HistorySheet({ session, onClose }: { session: Session; onClose: () => void }) {
  const { data, error, refetch } = useQuery(history);
  const { save, remove } = useHistoryChanges();
  const [search, setSearch] = useState("");
  /** To be brought back from inside of the sheet: a toast lies behind it. */
  const [deleted, setDeleted] = useState<{ conversation: Conversation; wasOpen: boolean } | null>(null);
  const found = data ? searchConversations(data, search) : [];

  async function deleteOne(conversation: Conversation) {
    await remove(conversation);
    const wasOpen = session.draft.id === conversation.id;
    if (wasOpen) session.startNew();
    setDeleted({ conversation, wasOpen });
  }

  async function undo() {
    if (!deleted) return;
    await save(deleted.conversation);
    if (deleted.wasOpen) session.open(deleted.conversation);
    setDeleted(null);
  }

  async function rename(conversation: Conversation, title: string) {
    await save({ ...conversation, title });
    if (session.draft.id === conversation.id) session.change({ title });
  }

  return (
    <Sheet open onOpenChange={(open) => !open && onClose()}>
      <SheetContent className="max-w-md">
        <SheetHeader>
          <SheetTitle>History</SheetTitle>
          <SheetDescription>Kept in this browser, and nowhere else.</SheetDescription>
        </SheetHeader>
        <div className="flex flex-col gap-3 p-4">
          {data ? (
            <SearchInput
              aria-label="Search conversations"
              placeholder="Search titles and messages…"
              value={search}
              onChange={(event) => setSearch(event.target.value)}
            />
          ) : error ? (
            <ErrorState error={error} what="the history" onRetry={() => void refetch()} />
          ) : (
            <LoadingState what="the history" />
          )}
          <div role="status">
            {deleted ? (
              <div className="flex items-center justify-between gap-3 rounded-lg border bg-muted/50 py-1.5 pr-1.5 pl-3 text-sm">
                <span className="min-w-0 truncate">Deleted “{deleted.conversation.title}”</span>
                <Button variant="outline" size="sm" autoFocus key={deleted.conversation.id} onClick={() => void undo()}>
                  Undo
                </Button>
              </div>
            ) : null}
          </div>
          {data && found.length === 0 ? (
            <EmptyState
              icon={MessagesSquare}
              title={data.length ? "Nothing matches" : "No conversations yet"}
              description={data.length ? "No title or message holds these words." : "What you ask is kept here."}
            />
          ) : null}
          <ul aria-label="Conversations" className="flex flex-col gap-0.5">
            {found.map((conversation) => (
              <HistoryRow
                key={conversation.id}
                conversation={conversation}
                isOpen={session.draft.id === conversation.id}
                onOpen={() => {
                  if (session.draft.id !== conversation.id) session.open(conversation);
                  onClose();
                }}
                onRename={(title) => void rename(conversation, title)}
                onDelete={() => void deleteOne(conversation)}
              />
            ))}
          </ul>
        </div>
      </SheetContent>
    </Sheet>
  );
}
