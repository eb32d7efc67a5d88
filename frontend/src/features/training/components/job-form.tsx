"use client";

import { useRouter } from "next/navigation";
import { type FormEvent } from "react";
import { Section } from "@/components/app/page";
import { toastSuccess } from "@/components/app/toasts";
import { type FormState, useJobForm } from "../hooks/use-job-form";
import { InputsFields } from "./inputs-fields";
import { PreflightPanel } from "./preflight-panel";
import { PresetPicker } from "./preset-picker";
import { ResultFields } from "./result-fields";
import { SettingsFields } from "./settings-fields";

export function JobForm({ initial }: { initial: FormState }) {
  const router = useRouter();
  const form = useJobForm(initial);
  const { state, body, create } = form;

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (!body) return;
    create.mutate(
      { ...body, name: state.name.trim() || null, promotion: state.promotion },
      {
        onSuccess(job) {
          toastSuccess(job.queue_position && job.queue_position > 1 ? `Queued at place ${job.queue_position}` : "Job queued");
          router.push(`/training/${job.id}`);
        },
      },
    );
  }

  return (
    <form
      noValidate
      aria-label="New training job"
      className="grid min-w-0 grid-cols-1 items-start gap-6 lg:grid-cols-[minmax(0,1fr)_22rem]"
      onSubmit={submit}
    >
      <div className="flex min-w-0 flex-col gap-6">
        <InputsFields form={form} />
        <Section title="Preset" description="Where to begin. Everything can be changed below.">
          <PresetPicker draft={state.draft} onChange={(draft) => form.set({ draft })} />
        </Section>
        <SettingsFields draft={state.draft} errors={form.settingErrors} onChange={form.setSetting} />
        <ResultFields form={form} />
      </div>
      <PreflightPanel form={form} />
    </form>
  );
}
