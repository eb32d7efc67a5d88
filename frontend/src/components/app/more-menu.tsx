"use client";

import { Ellipsis } from "lucide-react";
import { type ReactNode } from "react";
import { Button } from "@/components/ui/button";
import { DropdownMenu, DropdownMenuContent, DropdownMenuTrigger } from "@/components/ui/dropdown-menu";

interface MoreMenuProps {
  variant: "outline" | "ghost";
  /** Items of a DropdownMenu. */
  children: ReactNode;
}

/** What is done seldom, behind three dots. */
export function MoreMenu({ variant, children }: MoreMenuProps) {
  return (
    <DropdownMenu>
      <DropdownMenuTrigger asChild>
        <Button variant={variant} size="icon" aria-label="More actions">
          <Ellipsis aria-hidden />
        </Button>
      </DropdownMenuTrigger>
      <DropdownMenuContent align="end">{children}</DropdownMenuContent>
    </DropdownMenu>
  );
}
