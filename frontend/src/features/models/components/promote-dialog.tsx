"use client";

import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { formErrors } from "@/lib/api/field-errors";
import { type Model } from "../lib/model-rows";
import { useMoveAlias } from "../mutations";
import { tellPromotion } from "../promotion-toast";

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

  function submit() {
    move.mutate(
      { alias: alias.trim(), version },
      {
        onSuccess(promotion) {
          tellPromotion(promotion);
          onClose();
        },
      },
    );
  }

  return (
    <FormDialog
      title={`Promote v${version}`}
      description="An alias is the name that clients ask for. It can be moved back at any time."
      action="Promote"
      pending={move.isPending}
      disabled={!alias.trim() || present === version}
      message={told.other}
      onSubmit={submit}
      onClose={onClose}
    >
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
    </FormDialog>
  );
}
