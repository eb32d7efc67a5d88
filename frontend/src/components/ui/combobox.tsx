"use client";

import { Check, ChevronsUpDown } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button } from "./button";
import { cn } from "./cn";
import { Command, CommandEmpty, CommandGroup, CommandInput, CommandItem, CommandList } from "./command";
import { type ControlProps } from "./field";
import { Popover, PopoverContent, PopoverTrigger } from "./popover";

export interface ComboboxOption {
  value: string;
  label: string;
  /** Small text at the right, such as a size. */
  detail?: ReactNode;
  disabled?: boolean;
}

interface ComboboxProps extends Partial<ControlProps> {
  options: readonly ComboboxOption[];
  value: string | null;
  onValueChange: (value: string) => void;
  placeholder: string;
  /** Says what is chosen, where no label stands beside it. */
  "aria-label"?: string;
  disabled?: boolean;
  className?: string;
}

/** A select with search, for lists longer than a screen. */
export function Combobox({ options, value, onValueChange, placeholder, className, ...control }: ComboboxProps) {
  const [open, setOpen] = useState(false);
  const chosen = options.find((option) => option.value === value);
  return (
    <Popover open={open} onOpenChange={setOpen}>
      <PopoverTrigger asChild>
        <Button
          variant="outline"
          role="combobox"
          aria-expanded={open}
          {...control}
          className={cn("w-full justify-between border-input font-normal", className)}
        >
          <span className={cn("truncate", !chosen && "text-muted-foreground")}>{chosen?.label ?? placeholder}</span>
          <ChevronsUpDown aria-hidden className="text-muted-foreground" />
        </Button>
      </PopoverTrigger>
      <PopoverContent aria-label={placeholder} className="w-(--radix-popover-trigger-width) min-w-64 p-0">
        <Command>
          <CommandInput placeholder="Search…" />
          <CommandList>
            <CommandEmpty>Nothing matches.</CommandEmpty>
            <CommandGroup>
              {options.map((option) => (
                <CommandItem
                  key={option.value}
                  value={`${option.label} ${option.value}`}
                  disabled={option.disabled}
                  onSelect={() => {
                    onValueChange(option.value);
                    setOpen(false);
                  }}
                >
                  <Check aria-hidden className={cn(option.value !== value && "invisible")} />
                  <span className="truncate">{option.label}</span>
                  {option.detail ? (
                    <span className="ml-auto shrink-0 text-xs text-muted-foreground">{option.detail}</span>
                  ) : null}
                </CommandItem>
              ))}
            </CommandGroup>
          </CommandList>
        </Command>
      </PopoverContent>
    </Popover>
  );
}
