"use client";

import { Ellipsis, MessageSquareText } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { type ModelRow, preferredName } from "../lib/model-rows";
import { type ModelAction } from "./model-menu";

const ModelMenu = dynamic(() => import("./model-menu").then((module) => module.ModelMenu), {
  ssr: false,
  loading: () => (
    <Button variant="outline" size="icon" aria-label="More actions" disabled>
      <Ellipsis aria-hidden />
    </Button>
  ),
});
const EditDialog = dynamic(() => import("./edit-dialog").then((module) => module.EditDialog), { ssr: false });
const QuantiseDialog = dynamic(() => import("./quantise-dialog").then((module) => module.QuantiseDialog), { ssr: false });
const DeleteDialog = dynamic(() => import("./delete-dialog").then((module) => module.DeleteDialog), { ssr: false });

/** What can be done with the whole model. */
export function ModelActions({ row }: { row: ModelRow }) {
  const { model } = row;
  const [dialog, setDialog] = useState<ModelAction | null>(null);
  const close = () => setDialog(null);
  const name = preferredName(row.servedNames);
  const canQuantise = model.type === "base" && row.quantization === null && row.state !== "absent";
  return (
    <>
      {name ? (
        <Button asChild>
          <Link href={`/inference?model=${encodeURIComponent(name)}`}>
            <MessageSquareText aria-hidden />
            Chat with it
          </Link>
        </Button>
      ) : null}
      <ModelMenu canQuantise={canQuantise} onChoose={setDialog} />
      {dialog === "edit" ? <EditDialog model={model} onClose={close} /> : null}
      {dialog === "quantise" ? <QuantiseDialog model={model} onClose={close} /> : null}
      {dialog === "delete" ? <DeleteDialog model={model} onClose={close} /> : null}
    </>
  );
}
