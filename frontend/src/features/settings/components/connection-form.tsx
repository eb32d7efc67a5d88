"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { toastSuccess } from "@/components/app/toasts";
import { Button } from "@/components/ui/button";
import { Card, CardContent, CardFooter } from "@/components/ui/card";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { type Settings, settings } from "@/lib/storage/settings";
import { readAddress } from "../lib/address";
import { AddressField } from "./address-field";

/** Addresses and key; saving asks everything anew, of the services that are now meant. */
export function ConnectionForm({ saved }: { saved: Settings }) {
  const client = useQueryClient();
  const [draft, setDraft] = useState({
    backend: saved.backendUrl ?? "",
    inference: saved.inferenceUrl ?? "",
    apiKey: saved.apiKey ?? "",
  });
  const [isShown, setShown] = useState(false);
  const set = (name: keyof typeof draft) => (value: string) => setDraft((known) => ({ ...known, [name]: value }));
  const apiKey = draft.apiKey.trim() || null;

  function save() {
    const backend = readAddress(draft.backend);
    const inference = readAddress(draft.inference);
    if (backend.error || inference.error) return;
    settings.set({ backendUrl: backend.url, inferenceUrl: inference.url, apiKey });
    void client.resetQueries();
    toastSuccess("Connection saved");
  }

  return (
    <form
      noValidate
      aria-label="Connection"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <Card>
        <CardContent className="flex flex-col gap-4">
          <AddressField service="backend" value={draft.backend} apiKey={apiKey} onChange={set("backend")} />
          <AddressField service="inference" value={draft.inference} apiKey={apiKey} onChange={set("inference")} />
          <Field
            label="API key"
            hint="Only for services that ask for one; mlx-hub keys create makes one for both. It stays in this browser."
            action={
              <Button variant="ghost" size="sm" aria-pressed={isShown} onClick={() => setShown(!isShown)}>
                {isShown ? "Hide" : "Show"}
                <span className="sr-only">the API key</span>
              </Button>
            }
          >
            {(control) => (
              <Input
                {...control}
                type={isShown ? "text" : "password"}
                autoComplete="off"
                spellCheck={false}
                value={draft.apiKey}
                onChange={(event) => set("apiKey")(event.target.value)}
              />
            )}
          </Field>
        </CardContent>
        <CardFooter className="justify-end">
          <Button type="submit">Save connection</Button>
        </CardFooter>
      </Card>
    </form>
  );
}
