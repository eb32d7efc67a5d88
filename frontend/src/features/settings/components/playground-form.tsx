"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { servedModels } from "@/components/app/shell-queries";
import { toastSuccess } from "@/components/app/toasts";
import { Button } from "@/components/ui/button";
import { Card, CardContent, CardFooter } from "@/components/ui/card";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { Textarea } from "@/components/ui/textarea";
import { type Settings, settings } from "@/lib/storage/settings";
import { parseDefaults } from "../lib/playground-defaults";

/** Model, system prompt and numbers that a new chat begins with. */
export function PlaygroundForm({ saved }: { saved: Settings }) {
  const { data: served } = useQuery(servedModels);
  const [draft, setDraft] = useState({
    defaultModel: saved.defaultModel ?? "",
    systemPrompt: saved.systemPrompt,
    temperature: saved.temperature?.toString() ?? "",
    maxTokens: saved.maxTokens?.toString() ?? "",
  });
  const set = (name: keyof typeof draft) => (value: string) => setDraft((known) => ({ ...known, [name]: value }));
  const { values, errors } = parseDefaults(draft);

  function save() {
    if (Object.keys(errors).length > 0) return;
    settings.set({ ...values, defaultModel: draft.defaultModel.trim() || null, systemPrompt: draft.systemPrompt });
    toastSuccess("Playground defaults saved");
  }

  return (
    <form
      noValidate
      aria-label="Playground"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <Card>
        <CardContent className="grid gap-4 sm:grid-cols-2">
          <Field label="Model" hint="Empty: one that is loaded." className="sm:col-span-2">
            {(control) => (
              <>
                <Input
                  {...control}
                  list="served-models"
                  autoComplete="off"
                  value={draft.defaultModel}
                  onChange={(event) => set("defaultModel")(event.target.value)}
                />
                <datalist id="served-models">
                  {Object.keys(served?.models ?? {}).map((name) => (
                    <option key={name} value={name} />
                  ))}
                </datalist>
              </>
            )}
          </Field>
          <Field label="System prompt" className="sm:col-span-2">
            {(control) => (
              <Textarea
                {...control}
                rows={3}
                value={draft.systemPrompt}
                onChange={(event) => set("systemPrompt")(event.target.value)}
              />
            )}
          </Field>
          <Field label="Temperature" hint="0 to 2. Empty: the server's default." error={errors.temperature}>
            {(control) => (
              <Input
                {...control}
                inputMode="decimal"
                value={draft.temperature}
                onChange={(event) => set("temperature")(event.target.value)}
              />
            )}
          </Field>
          <Field label="Longest answer, in tokens" hint="Empty: the server's default." error={errors.maxTokens}>
            {(control) => (
              <Input
                {...control}
                inputMode="numeric"
                value={draft.maxTokens}
                onChange={(event) => set("maxTokens")(event.target.value)}
              />
            )}
          </Field>
        </CardContent>
        <CardFooter className="justify-end">
          <Button type="submit" variant="outline">
            Save defaults
          </Button>
        </CardFooter>
      </Card>
    </form>
  );
}
