"use client";

import { useState } from "react";
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
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { type Model } from "../lib/model-rows";
import { useMoveAlias } from "../mutations";
import { tellPromotion } from "../promotion-toast";
import { FormAlert } from "./form-alert";

const USUAL = "champion";

interface PromoteDialogProps {
  model: Model;
  version: number;
  onClose: () => void;
}

/** Lets an alias, old or new, point to the version. */
export function PromoteDialog({ model, version, onClose }: PromoteDialogProps) {
  const move = useMoveAlias(model.id);
  const [alias, setAlias] = useState(USUAL);
  const told = formErrors(move.error, ["alias"]);
  const present = model.aliases[alias.trim()];
  const consequence =
    present === undefined
      ? `Clients can ask for ${model.name}@${alias.trim() || "…"} then.`
      : present === version
        ? `${alias.trim()} points to v${version} already.`
        : `${alias.trim()} points to v${present} now. Clients get v${version} from the next request on.`;
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>Promote v{version}</DialogTitle>
          <DialogDescription>An alias is the name that clients ask for. It can be moved back at any time.</DialogDescription>
        </DialogHeader>
        <form
          className="flex min-w-0 flex-col"
          onSubmit={(event) => {
            event.preventDefault();
            move.mutate(
              { alias: alias.trim(), version },
              {
                onSuccess(promotion) {
                  tellPromotion(promotion);
                  onClose();
                },
              },
            );
          }}
        >
          <DialogBody>
            <FormAlert message={told.other} />
            <Field label="Alias" required error={told.fields.alias} hint={consequence}>
              {(control) => (
                <Input
                  {...control}
                  value={alias}
                  maxLength={64}
                  autoComplete="off"
                  list="known-aliases"
                  onChange={(event) => setAlias(event.target.value)}
                />
              )}
            </Field>
            <datalist id="known-aliases">
              {[...new Set([USUAL, ...Object.keys(model.aliases)])].map((known) => (
                <option key={known} value={known} />
              ))}
            </datalist>
          </DialogBody>
          <DialogFooter>
            <DialogClose asChild>
              <Button variant="outline">Cancel</Button>
            </DialogClose>
            <Button type="submit" pending={move.isPending} disabled={!alias.trim() || present === version}>
              Promote
            </Button>
          </DialogFooter>
        </form>
      </DialogContent>
    </Dialog>
  );
}
