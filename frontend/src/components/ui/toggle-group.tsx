"use client";

import { type ReactNode, useId } from "react";
import { cn } from "./cn";

interface ToggleGroupProps<Value extends string> {
  value: Value;
  onValueChange: (value: Value) => void;
  /** `iconOnly`: the label is for screen readers and the pointer. */
  options: readonly { value: Value; label: string; icon?: ReactNode; iconOnly?: boolean; disabled?: boolean }[];
  "aria-label": string;
  className?: string;
}

/** One of two to seven options, all in sight. Native radio buttons: the arrow keys choose. */
export function ToggleGroup<Value extends string>({
  value,
  onValueChange,
  options,
  className,
  ...props
}: ToggleGroupProps<Value>) {
  const name = useId();
  return (
    <div
      data-slot="toggle-group"
      role="radiogroup"
      className={cn("inline-flex w-fit max-w-full flex-wrap items-center gap-0.5 rounded-md bg-muted p-0.5", className)}
      {...props}
    >
      {options.map((option) => (
        <label
          key={option.value}
          title={option.iconOnly ? option.label : undefined}
          className="relative inline-flex h-6 min-w-6 cursor-pointer items-center justify-center gap-1.5 rounded-sm px-2 text-xs font-medium text-muted-foreground transition-colors hover:text-foreground has-checked:bg-card has-checked:text-foreground has-checked:shadow-xs has-focus-visible:outline-2 has-focus-visible:outline-ring has-disabled:pointer-events-none has-disabled:opacity-50 [&>svg]:size-3.5"
        >
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            disabled={option.disabled}
            onChange={() => onValueChange(option.value)}
            className="absolute inset-0 cursor-pointer appearance-none rounded-sm opacity-0"
          />
          {option.icon}
          <span className={cn(option.iconOnly && "sr-only")}>{option.label}</span>
        </label>
      ))}
    </div>
  );
}
