"use client";

import { Pencil, Shrink, Trash2 } from "lucide-react";
import { MoreMenu } from "@/components/app/more-menu";
import { DropdownMenuItem, DropdownMenuSeparator } from "@/components/ui/dropdown-menu";

export type ModelAction = "edit" | "quantise" | "delete";

interface ModelMenuProps {
  canQuantise: boolean;
  onChoose: (action: ModelAction) => void;
}

/** Loaded after the page: a menu is a tenth of its script. */
export function ModelMenu({ canQuantise, onChoose }: ModelMenuProps) {
  return (
    <MoreMenu variant="outline">
      <DropdownMenuItem onSelect={() => onChoose("edit")}>
        <Pencil aria-hidden />
        Edit
      </DropdownMenuItem>
      {canQuantise ? (
        <DropdownMenuItem onSelect={() => onChoose("quantise")}>
          <Shrink aria-hidden />
          Quantise
        </DropdownMenuItem>
      ) : null}
      <DropdownMenuSeparator />
      <DropdownMenuItem variant="destructive" onSelect={() => onChoose("delete")}>
        <Trash2 aria-hidden />
        Delete
      </DropdownMenuItem>
    </MoreMenu>
  );
}
