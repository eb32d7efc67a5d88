"use client";

import { useState } from "react";
import { Section } from "@/components/app/page";
import { Badge } from "@/components/ui/badge";
import { Card, CardContent } from "@/components/ui/card";
import { Collapsible, CollapsibleContent, CollapsibleTrigger } from "@/components/ui/collapsible";
import { formatCount } from "@/lib/format/numbers";
import { type Draft, type DraftErrors, type DraftValue, toDraft } from "../lib/draft";
import { MAIN_SETTINGS, MORE_SETTINGS, type SettingGroup, type SettingName } from "../lib/settings";
import { SettingField } from "./setting-field";

interface SettingsFieldsProps {
  draft: Draft;
  errors: DraftErrors;
  onChange: (name: SettingName, value: DraftValue) => void;
}

const DEFAULTS = toDraft();
const GRID = "grid grid-cols-1 items-start gap-4 min-[480px]:grid-cols-2 md:grid-cols-3";

export function SettingsFields(props: SettingsFieldsProps) {
  return (
    <Section title="Settings" description="An empty field means what it shows in grey.">
      <Card>
        <CardContent className="flex flex-col gap-4">
          <div className={GRID}>
            <Fields names={MAIN_SETTINGS} {...props} />
          </div>
          {MORE_SETTINGS.map((group) => (
            <Group key={group.title} group={group} {...props} />
          ))}
        </CardContent>
      </Card>
    </Section>
  );
}

/** Closed at first; a problem inside opens it, and what differs from the defaults is counted. */
function Group({ group, ...props }: SettingsFieldsProps & { group: SettingGroup }) {
  const numChanged = group.names.filter((name) => props.draft[name] !== DEFAULTS[name]).length;
  const hasError = group.names.some((name) => props.errors[name]);
  const [isOpen, setOpen] = useState(false);
  return (
    <Collapsible open={isOpen || hasError} onOpenChange={setOpen} className="flex flex-col gap-3 border-t pt-3">
      <CollapsibleTrigger>
        {group.title}
        {numChanged > 0 ? <Badge variant="primary">{formatCount(numChanged, "change")}</Badge> : null}
      </CollapsibleTrigger>
      <CollapsibleContent className={GRID}>
        <Fields names={group.names} {...props} />
      </CollapsibleContent>
    </Collapsible>
  );
}

function Fields({ names, draft, errors, onChange }: SettingsFieldsProps & { names: readonly SettingName[] }) {
  return names.map((name) => (
    <SettingField
      key={name}
      name={name}
      value={draft[name]}
      error={errors[name]}
      // A full fine-tune has no adapter.
      disabled={draft.fine_tune_type === "full" && name.startsWith("lora_")}
      onChange={(value) => onChange(name, value)}
    />
  ));
}
