"use client";

import { Trash2 } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { DownloadLink } from "@/components/app/download-link";
import { Button } from "@/components/ui/button";
import { type Dataset } from "../api";

const DeleteDialog = dynamic(() => import("./delete-dialog").then((module) => module.DeleteDialog), { ssr: false });

export function DatasetActions({ dataset }: { dataset: Dataset }) {
  const [isDeleting, setDeleting] = useState(false);
  return (
    <>
      <Button variant="outline" onClick={() => setDeleting(true)}>
        <Trash2 aria-hidden />
        Delete
      </Button>
      <DownloadLink path={`/api/v1/datasets/${dataset.id}/content`} name={`${dataset.name}.jsonl`} text="Download" />
      {isDeleting ? <DeleteDialog dataset={dataset} onClose={() => setDeleting(false)} /> : null}
    </>
  );
}
