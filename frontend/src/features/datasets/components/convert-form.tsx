"use client";

import Link from "next/link";
import { useState } from "react";
import { FormAlert } from "@/components/app/form-alert";
import { Button } from "@/components/ui/button";
import { Checkbox } from "@/components/ui/checkbox";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type Backend } from "@/lib/api/client";
import { formErrors } from "@/lib/api/field-errors";
import { formatCount, formatInteger } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { useConvert } from "../mutations";

type Target = Backend<"DatasetConvert">["format"] & string;

const TARGETS = [
  { value: "chat", label: "Chat" },
  { value: "completions", label: "Prompt and completion" },
  { value: "text", label: "Plain text" },
] as const;

const NAMED_PROBLEMS = 20;

export function ConvertForm({ dataset }: { dataset: Dataset }) {
  const convert = useConvert(dataset.id);
  const [format, setFormat] = useState<Target>(dataset.format === "chat" ? "completions" : "chat");
  const [name, setName] = useState("");
  const [skips, setSkips] = useState(false);
  const told = formErrors(convert.error, ["name"]);
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        convert.mutate({ format, name: name.trim() || null, skips_problems: skips });
      }}
    >
      <FormAlert message={told.other} />
      <ToggleGroup aria-label="Format" options={TARGETS} value={format} onValueChange={setFormat} />
      <Field label="Name" error={told.fields.name}>
        {(control) => (
          <Input
            {...control}
            value={name}
            maxLength={200}
            placeholder={`${dataset.name}-${format}`}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field inline label="Leave out rows that would lose something" hint="Otherwise they are named, and nothing is made.">
        {(control) => <Checkbox {...control} checked={skips} onCheckedChange={(checked) => setSkips(checked === true)} />}
      </Field>
      <div className="flex flex-wrap items-center gap-3">
        <Button type="submit" variant="outline" pending={convert.isPending}>
          Convert
        </Button>
        <div role="status" className="min-w-0 text-sm">
          {convert.data ? <Made converted={convert.data} /> : null}
        </div>
      </div>
    </form>
  );
}

function Made({ converted }: { converted: Backend<"ConvertedPublic"> }) {
  const { dataset, num_converted_rows, num_left_out_rows, problems } = converted;
  return (
    <div className="flex flex-col gap-1">
      <p>
        <Link href={`/datasets/${dataset.id}`} className="break-words text-primary-text underline underline-offset-4">
          {dataset.name}
        </Link>{" "}
        <span className="text-muted-foreground">
          {formatCount(num_converted_rows, "row")}
          {num_left_out_rows ? `, ${formatInteger(num_left_out_rows)} left out` : null}
        </span>
      </p>
      {problems.length ? (
        <ul aria-label="Rows left out" className="text-xs text-muted-foreground">
          {problems.slice(0, NAMED_PROBLEMS).map(({ line, message }) => (
            <li key={line}>
              Line {formatInteger(line)}: {message}
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
