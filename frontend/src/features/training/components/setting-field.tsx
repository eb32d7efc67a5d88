"use client";

import { RotateCcw } from "lucide-react";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { Switch } from "@/components/ui/switch";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { type DraftValue, describeRange, toDraft } from "../lib/draft";
import { type ChoiceSetting, type SettingName, SETTINGS } from "../lib/settings";

interface SettingFieldProps {
  name: SettingName;
  value: DraftValue;
  error?: string;
  disabled?: boolean;
  onChange: (value: DraftValue) => void;
}

const DEFAULTS = toDraft();

/** One setting, with what it means, where it may lie, and the way back to its default. */
export function SettingField({ name, value, error, disabled, onChange }: SettingFieldProps) {
  const setting = SETTINGS[name];
  if (setting.kind === "choice") return <Choice setting={setting} value={String(value)} error={error} onChange={onChange} />;
  if (setting.kind === "switch") {
    return (
      <Field inline label={setting.label} hint={setting.hint} error={error}>
        {(control) => <Switch {...control} checked={value === true} onCheckedChange={onChange} />}
      </Field>
    );
  }
  const range = setting.kind === "list" ? "" : ` ${capitalised(describeRange(setting))}.`;
  return (
    <Field
      label={setting.label}
      hint={disabled ? "Not used by a full fine-tune." : `${setting.hint}${range}`}
      error={error}
      action={
        value === DEFAULTS[name] || disabled ? null : (
          <Button
            variant="ghost"
            size="icon-sm"
            aria-label={`Reset ${setting.label.toLowerCase()}`}
            title="Back to the default"
            onClick={() => onChange(DEFAULTS[name])}
          >
            <RotateCcw aria-hidden />
          </Button>
        )
      }
    >
      {(control) => (
        <Input
          {...control}
          inputMode={setting.kind === "list" ? "text" : setting.kind === "integer" ? "numeric" : "decimal"}
          className="tabular-nums"
          autoComplete="off"
          spellCheck={false}
          disabled={disabled}
          value={String(value)}
          placeholder={setting.empty}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}

interface ChoiceProps {
  setting: ChoiceSetting;
  value: string;
  error?: string;
  onChange: (value: string) => void;
}

function Choice({ setting, value, error, onChange }: ChoiceProps) {
  return (
    <Field label={setting.label} hint={setting.hint} error={error}>
      {({ "aria-describedby": describedBy }) => (
        <div aria-describedby={describedBy}>
          <ToggleGroup aria-label={setting.label} options={setting.options} value={value} onValueChange={onChange} />
        </div>
      )}
    </Field>
  );
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
