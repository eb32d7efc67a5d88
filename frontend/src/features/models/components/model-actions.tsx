"use client";

import { Ellipsis, MessageSquareText, Pencil, Shrink, Trash2 } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuSeparator,
  DropdownMenuTrigger,
} from "@/components/ui/dropdown-menu";
import { type ModelRow, preferredName } from "../lib/model-rows";

const EditDialog = dynamic(() => import("./edit-dialog").then((module) => module.EditDialog), { ssr: false });
const QuantiseDialog = dynamic(() => import("./quantise-dialog").then((module) => module.QuantiseDialog), { ssr: false });
const DeleteDialog = dynamic(() => import("./delete-dialog").then((module) => module.DeleteDialog), { ssr: false });

/** What can be done with the whole model. */
export function ModelActions({ row }: { row: ModelRow }) {
  const { model } = row;
  const [dialog, setDialog] = useState<"edit" | "quantise" | "delete" | null>(null);
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
      <DropdownMenu>
        <DropdownMenuTrigger asChild>
          <Button variant="outline" size="icon" aria-label="More actions">
            <Ellipsis aria-hidden />
          </Button>
        </DropdownMenuTrigger>
        <DropdownMenuContent align="end">
          <DropdownMenuItem onSelect={() => setDialog("edit")}>
            <Pencil aria-hidden />
            Edit
          </DropdownMenuItem>
          {canQuantise ? (
            <DropdownMenuItem onSelect={() => setDialog("quantise")}>
              <Shrink aria-hidden />
              Quantise
            </DropdownMenuItem>
          ) : null}
          <DropdownMenuSeparator />
          <DropdownMenuItem variant="destructive" onSelect={() => setDialog("delete")}>
            <Trash2 aria-hidden />
            Delete
          </DropdownMenuItem>
        </DropdownMenuContent>
      </DropdownMenu>
      {dialog === "edit" ? <EditDialog model={model} onClose={close} /> : null}
      {dialog === "quantise" ? <QuantiseDialog model={model} onClose={close} /> : null}
      {dialog === "delete" ? <DeleteDialog model={model} onClose={close} /> : null}
    </>
  );
}
