"use client";

import { Ellipsis, Pencil, Shrink, Trash2 } from "lucide-react";
import { Button } from "@/components/ui/button";
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuSeparator,
  DropdownMenuTrigger,
} from "@/components/ui/dropdown-menu";

export type ModelAction = "edit" | "quantise" | "delete";

interface ModelMenuProps {
  canQuantise: boolean;
  onChoose: (action: ModelAction) => void;
}

/** Loaded after the page: a menu is a tenth of its script. */
export function ModelMenu({ canQuantise, onChoose }: ModelMenuProps) {
  return (
    <DropdownMenu>
      <DropdownMenuTrigger asChild>
        <Button variant="outline" size="icon" aria-label="More actions">
          <Ellipsis aria-hidden />
        </Button>
      </DropdownMenuTrigger>
      <DropdownMenuContent align="end">
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
      </DropdownMenuContent>
    </DropdownMenu>
  );
}
