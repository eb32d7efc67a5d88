"use client";

import { useEffect, useState } from "react";
import { type ColumnMap, columnsOf, guessColumns, kindOf } from "../lib/upload-file";

/** Columns of a table on this machine, and which of them is what; `columns` is null for other files. */
export function useColumns(file: File) {
  const [columns, setColumns] = useState<string[] | null>(null);
  const [map, setMap] = useState<ColumnMap>({});
  // Reads the file, which React knows nothing of.
  useEffect(() => {
    if (kindOf(file.name) !== "table") return;
    let isWanted = true;
    const show = (found: string[]) => {
      if (!isWanted) return;
      setColumns(found);
      setMap(guessColumns(found));
    };
    // A file that cannot be read says so when it is sent.
    void columnsOf(file).then(show, () => show([]));
    return () => {
      isWanted = false;
    };
  }, [file]);
  return { columns, map, setMap };
}
