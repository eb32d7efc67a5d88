"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { FormDialog } from "@/components/app/form-dialog";
import { servedModels } from "@/components/app/shell-queries";
import { toastSuccess } from "@/components/app/toasts";
import { Field } from "@/components/ui/field";
import { Select, SelectContent, SelectItem, SelectTrigger, SelectValue } from "@/components/ui/select";
import { Textarea } from "@/components/ui/textarea";
import { describeError } from "@/lib/api/errors";
import { formatCount } from "@/lib/format/numbers";
import { useSettings } from "@/lib/storage/settings";
import { useCacheActions } from "../api";

/** The served models, and the one that is meant while none is chosen: as in Settings, else one that is loaded. */
function useTarget(chosen: string | null) {
  const { data: served } = useQuery(servedModels);
  const { defaultModel } = useSettings();
  const models = served?.models ?? {};
  const names = Object.keys(models);
  const preset = names.find((name) => name === defaultModel) ?? names.find((name) => models[name]?.loaded) ?? names[0];
  const model = chosen ?? preset ?? "";
  return { names, model, isLoaded: models[model]?.loaded ?? true };
}

/** Computes a system prompt's state ahead, so that the first chat with it starts as fast as the second. */
export function WarmUpDialog({ onClose }: { onClose: () => void }) {
  const { systemPrompt } = useSettings();
  const { warmUp } = useCacheActions();
  const [chosen, setChosen] = useState<string | null>(null);
  const [prompt, setPrompt] = useState(systemPrompt);
  const [isTried, setTried] = useState(false);
  const { names, model, isLoaded } = useTarget(chosen);

  function submit() {
    setTried(true);
    if (!model || !prompt.trim()) return;
    warmUp.mutate(
      { model_id: model, system_prompt: prompt },
      {
        onSuccess(result) {
          toastSuccess("Prompt warmed up", { description: `${formatCount(result.token_count, "token")} stored` });
          onClose();
        },
      },
    );
  }

  return (
    <FormDialog
      noValidate
      title="Warm up a prompt"
      description="Its state is computed and stored now, so that the first chat with it starts fast. It counts as neither hit nor miss."
      action="Warm up"
      pending={warmUp.isPending}
      message={warmUp.error ? describeError(warmUp.error).message : null}
      onSubmit={submit}
      onClose={onClose}
    >
      <Field
        label="Model"
        required
        hint={isLoaded ? undefined : "It is not loaded; warming up loads it first."}
        error={isTried && !model ? "No model is served. Download one in Discover." : undefined}
      >
        {(control) => (
          <Select value={model} onValueChange={setChosen} disabled={names.length === 0}>
            <SelectTrigger {...control}>
              <SelectValue placeholder="No model is served" />
            </SelectTrigger>
            <SelectContent>
              {names.map((name) => (
                <SelectItem key={name} value={name}>
                  {name}
                </SelectItem>
              ))}
            </SelectContent>
          </Select>
        )}
      </Field>
      <Field
        label="System prompt"
        required
        hint="To the letter as chats will send it."
        error={isTried && !prompt.trim() ? "Enter the prompt." : undefined}
      >
        {(control) => <Textarea {...control} rows={8} value={prompt} onChange={(event) => setPrompt(event.target.value)} />}
      </Field>
    </FormDialog>
  );
}
