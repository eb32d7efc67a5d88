"use client";

import { CircleAlert } from "lucide-react";
import { type ReactNode, useId } from "react";
import { cn } from "./cn";
import { Label } from "./label";

export interface ControlProps {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

interface FieldProps {
  label: ReactNode;
  /** What the value means or where it may lie. */
  hint?: ReactNode;
  /** What is wrong and how to mend it. */
  error?: string;
  required?: boolean;
  /** At the right of the label, such as a reset button or the value of a slider. */
  action?: ReactNode;
  /** Control left of its label: for checkboxes and switches. */
  inline?: boolean;
  className?: string;
  /** Spread the properties on the one control. */
  children: (control: ControlProps) => ReactNode;
}

/** A control with its label, hint and error, tied together for screen readers. */
export function Field({ label, hint, error, required, action, inline, className, children }: FieldProps) {
  const id = useId();
  const describedBy = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  const control = children({
    id,
    "aria-describedby": describedBy || undefined,
    "aria-invalid": error ? true : undefined,
  });
  const labelNode = (
    <Label htmlFor={id} id={`${id}-label`}>
      {label}
      {required ? (
        <span aria-hidden className="text-destructive">
          *
        </span>
      ) : null}
    </Label>
  );
  const notes = (
    <>
      {hint ? (
        <p id={`${id}-hint`} className="text-xs text-muted-foreground">
          {hint}
        </p>
      ) : null}
      {error ? (
        <p id={`${id}-error`} role="alert" className="flex items-start gap-1 text-xs text-destructive">
          <CircleAlert aria-hidden className="mt-0.5 size-3 shrink-0" />
          {error}
        </p>
      ) : null}
    </>
  );
  if (inline) {
    return (
      <div data-slot="field" className={cn("flex items-start gap-2.5", className)}>
        <span className="mt-0.5 flex">{control}</span>
        <div className="flex min-w-0 flex-col gap-0.5">
          {labelNode}
          {notes}
        </div>
      </div>
    );
  }
  return (
    <div data-slot="field" className={cn("flex min-w-0 flex-col gap-1.5", className)}>
      <div className="flex min-h-6 items-center justify-between gap-2">
        {labelNode}
        {action}
      </div>
      {control}
      {notes}
    </div>
  );
}
