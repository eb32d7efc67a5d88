"use client";

import { Field } from "@/components/ui/field";
import { Select, SelectContent, SelectItem, SelectTrigger, SelectValue } from "@/components/ui/select";
import { COLUMN_PARTS, type ColumnMap, type ColumnPart, columnsRefusal } from "../lib/upload-file";

const NONE = "\0none";

const LABELS: Record<ColumnPart, string> = {
  prompt: "Prompt column",
  completion: "Completion column",
  system: "System column",
  text: "Text column",
};

interface ColumnFieldsProps {
  columns: readonly string[];
  map: ColumnMap;
  /** By form field, such as `prompt_column`. */
  errors: Record<string, string>;
  disabled: boolean;
  onChange: (map: ColumnMap) => void;
}

/** Which column of a table is what. */
export function ColumnFields({ columns, map, errors, disabled, onChange }: ColumnFieldsProps) {
  const refusal = columnsRefusal(map);
  const choose = (part: ColumnPart, column: string) => {
    const { [part]: _previous, ...others } = map;
    onChange(column === NONE ? others : { ...others, [part]: column });
  };
  return (
    <fieldset className="flex min-w-0 flex-col gap-2">
      <legend className="mb-1 text-sm font-medium">Columns</legend>
      <p className="text-xs text-muted-foreground">
        {refusal ?? "Each record becomes a row; columns without a part stay with it."}
      </p>
      <div className="grid gap-3 sm:grid-cols-2">
        {COLUMN_PARTS.map((part) => (
          <Field key={part} label={LABELS[part]} error={errors[`${part}_column`]}>
            {(control) => (
              <Select value={map[part] ?? NONE} disabled={disabled} onValueChange={(column) => choose(part, column)}>
                <SelectTrigger {...control}>
                  <SelectValue />
                </SelectTrigger>
                <SelectContent>
                  <SelectItem value={NONE}>None</SelectItem>
                  {[...new Set(columns)].map((column) => (
                    <SelectItem key={column} value={column}>
                      {column}
                    </SelectItem>
                  ))}
                </SelectContent>
              </Select>
            )}
          </Field>
        ))}
      </div>
    </fieldset>
  );
}
