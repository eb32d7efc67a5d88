"use client";

import { Pencil } from "lucide-react";
import { useState } from "react";
import { CopyButton } from "@/components/app/copy-button";
import { Button } from "@/components/ui/button";
import { Textarea } from "@/components/ui/textarea";
import { type ChatMessage } from "@/lib/chat/conversation";

interface UserMessageProps {
  message: ChatMessage;
  isBusy: boolean;
  onEdit: (id: string, text: string) => boolean;
}

export function UserMessage({ message, isBusy, onEdit }: UserMessageProps) {
  const [isEditing, setIsEditing] = useState(false);
  return (
    <article aria-label="You" className="group/message flex flex-col items-end gap-1">
      {isEditing ? (
        <EditForm message={message} onEdit={onEdit} onClose={() => setIsEditing(false)} />
      ) : (
        <>
          <p className="max-w-[85%] rounded-xl bg-secondary px-3.5 py-2 text-sm leading-6 break-words whitespace-pre-wrap">
            {message.content}
          </p>
          <div className="flex">
            <CopyButton text={message.content} label="Copy message" />
            <Button
              variant="ghost"
              size="icon-sm"
              aria-label="Edit message"
              title="Edit message"
              disabled={isBusy}
              onClick={() => setIsEditing(true)}
            >
              <Pencil aria-hidden />
            </Button>
          </div>
        </>
      )}
    </article>
  );
}

interface EditFormProps {
  message: ChatMessage;
  onEdit: (id: string, text: string) => boolean;
  onClose: () => void;
}

function EditForm({ message, onEdit, onClose }: EditFormProps) {
  const [text, setText] = useState(message.content);

  function submit() {
    if (onEdit(message.id, text)) onClose();
  }

  return (
    <form
      className="flex w-full flex-col gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Textarea
        aria-label="Edited message"
        autoFocus
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.preventDefault();
            onClose();
          } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.nativeEvent.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      <div className="flex items-center justify-end gap-2">
        <p className="mr-auto text-xs text-muted-foreground">What followed is answered anew.</p>
        <Button variant="ghost" size="sm" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" size="sm" disabled={!text.trim()}>
          Send again
        </Button>
      </div>
    </form>
  );
}
