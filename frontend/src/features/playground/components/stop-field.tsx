"use client";

import { X } from "lucide-react";
import { useState } from "react";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { MAX_STOP_CHARACTERS, MAX_STOPS } from "../lib/parameters";

/** Up to four texts that end an answer. */
export function StopField({ value, onChange }: { value: readonly string[]; onChange: (value: string[]) => void }) {
  const [text, setText] = useState("");
  const isFull = value.length >= MAX_STOPS;

  function add() {
    // A line break cannot be typed into the field, so it is written as in code.
    const stop = text.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
    if (!stop || isFull || value.includes(stop)) return;
    onChange([...value, stop]);
    setText("");
  }

  return (
    <div className="flex flex-col gap-1.5">
      <Field label="Stop" hint={isFull ? "Four are the most." : "Texts that end the answer; \\n is a line break."}>
        {(control) => (
          <div className="flex gap-2">
            <Input
              {...control}
              maxLength={MAX_STOP_CHARACTERS}
              disabled={isFull}
              value={text}
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => {
                if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
                event.preventDefault();
                add();
              }}
            />
            <Button variant="outline" disabled={!text || isFull} onClick={add}>
              Add
            </Button>
          </div>
        )}
      </Field>
      {value.length ? (
        <ul aria-label="Stop texts" className="flex flex-wrap gap-1">
          {value.map((stop) => (
            <li key={stop}>
              <Badge variant="outline" className="h-6 max-w-60 pr-0.5 font-mono">
                <span className="truncate">{JSON.stringify(stop).slice(1, -1)}</span>
                <Button
                  variant="ghost"
                  size="icon-sm"
                  className="size-6"
                  aria-label={`Remove ${stop}`}
                  onClick={() => onChange(value.filter((one) => one !== stop))}
                >
                  <X aria-hidden />
                </Button>
              </Badge>
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
