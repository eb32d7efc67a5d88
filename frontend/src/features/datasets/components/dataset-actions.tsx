"use client";

import { Download, Trash2 } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { serviceURL } from "@/lib/api/endpoints";
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
      <Button variant="outline" asChild>
        <a href={`${serviceURL("backend")}/api/v1/datasets/${dataset.id}/content`} download suppressHydrationWarning>
          <Download aria-hidden />
          Download
        </a>
      </Button>
      {isDeleting ? <DeleteDialog dataset={dataset} onClose={() => setDeleting(false)} /> : null}
    </>
  );
}
