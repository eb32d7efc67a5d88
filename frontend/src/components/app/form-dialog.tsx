"use client";

import { type ReactNode } from "react";
import { Button } from "@/components/ui/button";
import {
  Dialog,
  DialogBody,
  DialogClose,
  DialogContent,
  DialogDescription,
  DialogFooter,
  DialogHeader,
  DialogTitle,
} from "@/components/ui/dialog";
import { FormAlert } from "./form-alert";

interface FormDialogProps {
  title: string;
  /** What comes of it. */
  description?: ReactNode;
  /** The verb: "Export". */
  action: string;
  onSubmit: () => void;
  /** For Cancel, Escape, the cross and a click beside it. */
  onClose: () => void;
  pending?: boolean;
  disabled?: boolean;
  /** What is wrong with the whole form. */
  message?: string | null;
  /** For a form that says itself what is missing. */
  noValidate?: boolean;
  className?: string;
  children: ReactNode;
}

/** A form to fill in and send. Open while it is rendered, so that it starts afresh each time. */
export function FormDialog({
  title,
  description,
  action,
  onSubmit,
  onClose,
  pending,
  disabled,
  message = null,
  noValidate,
  className,
  children,
}: FormDialogProps) {
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent className={className} {...(description ? {} : { "aria-describedby": undefined })}>
        <DialogHeader>
          <DialogTitle className="break-words">{title}</DialogTitle>
          {description ? <DialogDescription>{description}</DialogDescription> : null}
        </DialogHeader>
        <form
          noValidate={noValidate}
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            onSubmit();
          }}
        >
          <DialogBody>
            <FormAlert message={message} />
            {children}
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={pending} disabled={disabled}>
              {action}
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
