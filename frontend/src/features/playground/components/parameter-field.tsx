"use client";

import { Dices, RotateCcw } from "lucide-react";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { cn } from "@/components/ui/cn";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { Slider } from "@/components/ui/slider";
import { checkNumber, LIMITS, type NumberParameter } from "../lib/parameters";

interface ParameterFieldProps {
  name: NumberParameter;
  /** Null: the server's default. */
  value: number | null;
  onChange: (value: number | null) => void;
}

/** A number by slider or exactly, and the way back to the server's default. */
export function ParameterField({ name, value, onChange }: ParameterFieldProps) {
  const { label, hint, min, max, slideTo, step, rest } = LIMITS[name];
  // What is typed may not be a number yet; it is kept as typed until it is, or until another value comes.
  const [typed, setTyped] = useState<{ text: string; over: number | null } | null>(null);
  const isTyped = typed !== null && typed.over === value;
  const text = isTyped ? typed.text : (value?.toString() ?? "");
  const problem = isTyped && text.trim() ? checkNumber(name, Number(text)) : null;

  function type(next: string) {
    const number = next.trim() ? Number(next) : null;
    const isFine = number === null || checkNumber(name, number) === null;
    if (isFine) onChange(number);
    setTyped({ text: next, over: isFine ? number : value });
  }

  return (
    <Field
      label={label}
      hint={hint}
      error={problem ?? undefined}
      action={
        <div className="flex items-center gap-1">
          {name === "seed" ? (
            <Button
              variant="ghost"
              size="icon-sm"
              aria-label="Random seed"
              title="Random seed"
              onClick={() => onChange(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)}
            >
              <Dices aria-hidden />
            </Button>
          ) : null}
          {value === null ? null : (
            <Button
              variant="ghost"
              size="icon-sm"
              aria-label={`Reset ${label.toLowerCase()}`}
              title="Server default"
              onClick={() => {
                setTyped(null);
                onChange(null);
              }}
            >
              <RotateCcw aria-hidden />
            </Button>
          )}
        </div>
      }
    >
      {(control) => (
        <div className="flex items-center gap-3">
          {name === "seed" ? null : (
            <Slider
              aria-label={`${label}, slider`}
              className={cn(value === null && "opacity-60")}
              min={min}
              max={slideTo ?? max}
              step={step}
              value={[Math.min(value ?? rest, slideTo ?? max)]}
              onValueChange={([next]) => next !== undefined && onChange(next)}
            />
          )}
          <Input
            {...control}
            inputMode="decimal"
            className={cn("tabular-nums", name === "seed" ? "w-full" : "w-24 shrink-0")}
            placeholder={name === "seed" ? "Random" : "Default"}
            value={text}
            onChange={(event) => type(event.target.value)}
            onBlur={() => problem === null && setTyped(null)}
          />
        </div>
      )}
    </Field>
  );
}
