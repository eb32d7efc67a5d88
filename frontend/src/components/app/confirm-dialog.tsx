"use client";

import { type ReactNode, useState } from "react";
import {
  AlertDialog,
  AlertDialogCancel,
  AlertDialogContent,
  AlertDialogDescription,
  AlertDialogTitle,
} from "@/components/ui/alert-dialog";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { describeError } from "@/lib/api/errors";
import { FormAlert } from "./form-alert";

interface ConfirmDialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** A question that names the object: "Delete Qwen3-0.6B?" */
  title: string;
  /** What goes with it: bytes freed, what depends on it. */
  children: ReactNode;
  /** The verb: "Delete". */
  action: string;
  /** Closes when it resolves; stays open and shows why when it fails. */
  onConfirm: () => unknown;
  /** For several objects at once: the word to type first. */
  typeToConfirm?: string;
  destructive?: boolean;
  /** While the consequences are not known, or forbid it. */
  disabled?: boolean;
}

export function ConfirmDialog(props: ConfirmDialogProps) {
  return (
    <AlertDialog open={props.open} onOpenChange={props.onOpenChange}>
      <AlertDialogContent>
        <ConfirmForm {...props} />
      </AlertDialogContent>
    </AlertDialog>
  );
}

/** Its own component, so that it starts afresh each time the dialog opens. */
function ConfirmForm({
  onOpenChange,
  title,
  children,
  action,
  onConfirm,
  typeToConfirm,
  destructive = true,
  disabled = false,
}: ConfirmDialogProps) {
  const [typed, setTyped] = useState("");
  const [isPending, setPending] = useState(false);
  const [error, setError] = useState<unknown>(null);

  async function confirm() {
    setPending(true);
    setError(null);
    try {
      await onConfirm();
      onOpenChange(false);
    } catch (reason) {
      setError(reason);
    } finally {
      setPending(false);
    }
  }

  return (
    <form
      className="flex min-w-0 flex-col gap-4 p-5"
      onSubmit={(event) => {
        event.preventDefault();
        void confirm();
      }}
    >
      <div className="flex min-w-0 flex-col gap-1.5">
        <AlertDialogTitle>{title}</AlertDialogTitle>
        <AlertDialogDescription asChild>
          <div>{children}</div>
        </AlertDialogDescription>
      </div>
      {typeToConfirm ? (
        <Field label={`Type “${typeToConfirm}” to go on`}>
          {(control) => (
            <Input {...control} value={typed} autoComplete="off" onChange={(event) => setTyped(event.target.value)} />
          )}
        </Field>
      ) : null}
      <FormAlert message={error ? describeError(error).message : null} />
      <div className="flex flex-wrap justify-end gap-2">
        <AlertDialogCancel asChild>
          <Button variant="outline" disabled={isPending}>
            Cancel
          </Button>
        </AlertDialogCancel>
        <Button
          type="submit"
          variant={destructive ? "destructive" : "default"}
          pending={isPending}
          disabled={disabled || (typeToConfirm !== undefined && typed.trim() !== typeToConfirm)}
        >
          {action}
        </Button>
      </div>
    </form>
  );
}
