"use client";

import { MessagesSquare, TriangleAlert } from "lucide-react";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import { type Models } from "../hooks/use-models";

const QUESTIONS = [
  "What can you do?",
  "Write a Python function that merges two sorted lists.",
  "Explain what a prompt cache is, in three sentences.",
];

interface EmptyChatProps {
  model: string | null;
  models: Models;
  onAsk: (text: string) => void;
}

/** A chat that has not begun. */
export function EmptyChat({ model, models, onAsk }: EmptyChatProps) {
  const isMissing = model !== null && models.isKnown && !models.served[model];
  const cannotChat = model !== null && models.abilities.get(model)?.abilities.chat === false;
  return (
    <div className="flex flex-col items-center gap-4 py-10 text-center">
      {isMissing || cannotChat ? (
        <Alert variant="warning" className="text-left">
          <TriangleAlert aria-hidden />
          <AlertTitle className="break-words">
            {isMissing ? `${model} is not served` : `${model} has no chat template`}
          </AlertTitle>
          <AlertDescription>
            {isMissing
              ? "It was removed or renamed. Choose another model above."
              : "It completes text and cannot be chatted with."}
          </AlertDescription>
        </Alert>
      ) : null}
      <span className="flex size-10 items-center justify-center rounded-lg bg-muted text-muted-foreground">
        <MessagesSquare aria-hidden className="size-5" />
      </span>
      <div className="flex flex-col gap-1">
        <h2 className="text-sm font-semibold">Ask something</h2>
        <p className="max-w-sm text-sm text-balance text-muted-foreground">
          Conversations stay in this browser. Each answer shows its speed and what the prompt cache saved.
        </p>
      </div>
      <ul className="flex flex-wrap justify-center gap-2">
        {QUESTIONS.map((question) => (
          <li key={question}>
            <Button
              variant="outline"
              size="sm"
              className="h-auto min-h-7 py-1 whitespace-normal"
              onClick={() => onAsk(question)}
            >
              {question}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
