"use client";

import { useState } from "react";
import { FormAlert } from "@/components/app/form-alert";
import { BytesProgressBar, ProgressBar } from "@/components/app/progress-bar";
import { Button } from "@/components/ui/button";
import { DialogBody, DialogFooter } from "@/components/ui/dialog";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { ApiError } from "@/lib/api/errors";
import { formErrors } from "@/lib/api/field-errors";
import { type Dataset } from "../api";
import { useColumns } from "../hooks/use-columns";
import { useUpload, type UploadState } from "../hooks/use-upload";
import { COLUMN_PARTS, columnsRefusal, nameOf, refusalOf } from "../lib/upload-file";
import { ColumnFields } from "./column-fields";

const FIELDS = ["name", "description", ...COLUMN_PARTS.map((part) => `${part}_column`)];

interface UploadFormProps {
  file: File;
  onDone: (dataset: Dataset) => void;
  onSkip: () => void;
  skipLabel: string;
}

export function UploadForm({ file, onDone, onSkip, skipLabel }: UploadFormProps) {
  const { state, start, cancel } = useUpload(onDone);
  const [name, setName] = useState(nameOf(file.name));
  const [description, setDescription] = useState("");
  const { columns, map, setMap } = useColumns(file);
  const told = formErrors(state.phase === "failed" ? state.error : null, FIELDS);
  const refusal = refusalOf(file);
  const isBusy = state.phase === "sending" || state.phase === "checking";
  const isIncomplete = columns !== null && columnsRefusal(map) !== null;
  return (
    <form
      className="flex min-w-0 flex-col"
      onSubmit={(event) => {
        event.preventDefault();
        void start({ file, name: name.trim(), description: description.trim(), columns: map });
      }}
    >
      <DialogBody>
        <FormAlert message={refusal ?? told.other} />
        {refusal ? null : (
          <>
            <Field label="Name" required error={told.fields.name}>
              {(control) => (
                <Input
                  {...control}
                  value={name}
                  maxLength={200}
                  disabled={isBusy}
                  autoComplete="off"
                  onChange={(event) => setName(event.target.value)}
                />
              )}
            </Field>
            <Field label="Description" error={told.fields.description}>
              {(control) => (
                <Input
                  {...control}
                  value={description}
                  maxLength={10_000}
                  disabled={isBusy}
                  onChange={(event) => setDescription(event.target.value)}
                />
              )}
            </Field>
            {columns ? (
              <ColumnFields columns={columns} map={map} errors={told.fields} disabled={isBusy} onChange={setMap} />
            ) : null}
            <Progress state={state} />
          </>
        )}
      </DialogBody>
      <DialogFooter>
        <Button variant="outline" onClick={isBusy ? cancel : onSkip}>
          {isBusy ? "Cancel upload" : skipLabel}
        </Button>
        <Button type="submit" pending={isBusy} disabled={refusal !== null || !name.trim() || isIncomplete}>
          {isRepeatable(state) ? "Try again" : "Upload"}
        </Button>
      </DialogFooter>
    </form>
  );
}

/** The same file may well be taken the next time. */
function isRepeatable(state: UploadState): boolean {
  return state.phase === "failed" && state.error instanceof ApiError && (state.error.status ?? 503) >= 500;
}

function Progress({ state }: { state: UploadState }) {
  if (state.phase === "sending") {
    return (
      <BytesProgressBar
        label="Upload"
        doneBytes={state.sentBytes}
        totalBytes={state.totalBytes}
        bytesPerSecond={state.bytesPerSecond}
        remainingSeconds={state.remainingSeconds}
      />
    );
  }
  return state.phase === "checking" ? <ProgressBar label="Upload" value={null} amount="Reading the rows" /> : null;
}
