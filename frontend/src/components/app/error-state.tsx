"use client";

import { CircleAlert, PlugZap, RotateCw } from "lucide-react";
import { Button } from "@/components/ui/button";
import { serviceURL } from "@/lib/api/endpoints";
import { ApiError, describeError } from "@/lib/api/errors";
import { CopyButton } from "./copy-button";

interface ErrorStateProps {
  error: unknown;
  /** What was to be shown, as in "the models". */
  what?: string;
  onRetry?: () => void;
  retrying?: boolean;
}

/** In place of what could not be loaded: what went wrong, which service and port, what to do, and the request id for its log. */
export function ErrorState({ error, what, onRetry, retrying }: ErrorStateProps) {
  const { title, message, nextStep, requestId } = describeError(error);
  const isUnreachable = error instanceof ApiError && error.isUnreachable;
  const Icon = isUnreachable ? PlugZap : CircleAlert;
  return (
    <div
      role="alert"
      data-slot="error-state"
      className="flex flex-col items-start gap-3 rounded-xl border border-destructive/25 bg-destructive-soft p-4 sm:flex-row"
    >
      <Icon aria-hidden className="mt-0.5 size-5 shrink-0 text-destructive" />
      <div className="flex min-w-0 flex-1 flex-col gap-1 text-sm">
        <h2 className="font-semibold">{what ? `Could not load ${what}: ${lowerFirst(title)}` : title}</h2>
        <p className="break-words">{message}</p>
        {nextStep ? <p className="text-foreground/85">{nextStep}</p> : null}
        <p className="flex flex-wrap items-center gap-x-3 text-xs text-foreground/75">
          {error instanceof ApiError ? <span>{serviceURL(error.service)}</span> : null}
          {requestId ? (
            <span className="inline-flex items-center gap-0.5">
              Request <code className="font-mono">{requestId}</code>
              <CopyButton text={requestId} label="Copy request id" />
            </span>
          ) : null}
        </p>
      </div>
      {onRetry ? (
        <Button variant="outline" size="sm" onClick={onRetry} pending={retrying}>
          {retrying ? null : <RotateCw aria-hidden />}
          Retry
        </Button>
      ) : null}
    </div>
  );
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
