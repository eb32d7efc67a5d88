import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { describe, expect, it, vi } from "vitest";
import { Button } from "@/components/ui/button";
import { DropdownMenu, DropdownMenuContent, DropdownMenuItem, DropdownMenuTrigger } from "@/components/ui/dropdown-menu";
import { ConfirmDialog } from "./confirm-dialog";

function Deleting({ onConfirm, typeToConfirm }: { onConfirm: () => unknown; typeToConfirm?: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button onClick={() => setOpen(true)}>Delete it</Button>
      <DropdownMenu>
        <DropdownMenuTrigger>More</DropdownMenuTrigger>
        <DropdownMenuContent>
          <DropdownMenuItem onSelect={() => setOpen(true)}>Delete from the menu</DropdownMenuItem>
        </DropdownMenuContent>
      </DropdownMenu>
      <ConfirmDialog
        open={open}
        onOpenChange={setOpen}
        title="Delete tiny-model?"
        action="Delete"
        onConfirm={onConfirm}
        typeToConfirm={typeToConfirm}
      >
        Frees 1.2 GB.
      </ConfirmDialog>
    </>
  );
}

describe("ConfirmDialog", () => {
  it("brings the focus back to what opened it", async () => {
    render(<Deleting onConfirm={vi.fn()} />);
    const user = userEvent.setup();

    await user.click(screen.getByRole("button", { name: "Delete it" }));
    expect(screen.getByRole("alertdialog", { name: "Delete tiny-model?" })).toHaveAccessibleDescription("Frees 1.2 GB.");
    await user.keyboard("{Escape}");

    expect(screen.getByRole("button", { name: "Delete it" })).toHaveFocus();
  });

  it("brings the focus back to the button of the menu it was chosen from", async () => {
    render(<Deleting onConfirm={vi.fn()} />);
    const user = userEvent.setup();

    await user.click(screen.getByRole("button", { name: "More" }));
    await user.click(screen.getByRole("menuitem", { name: "Delete from the menu" }));
    await user.click(screen.getByRole("button", { name: "Cancel" }));

    expect(screen.getByRole("button", { name: "More" })).toHaveFocus();
  });

  it("stays open and says why when it failed", async () => {
    render(<Deleting onConfirm={() => Promise.reject(new Error("A job needs this model."))} />);

    await userEvent.click(screen.getByRole("button", { name: "Delete it" }));
    await userEvent.click(screen.getByRole("button", { name: "Delete" }));

    expect(await screen.findByRole("alert")).toHaveTextContent("A job needs this model.");
    expect(screen.getByRole("button", { name: "Delete" })).toBeEnabled();
  });

  it("waits for the word to be typed", async () => {
    const onConfirm = vi.fn();
    render(<Deleting onConfirm={onConfirm} typeToConfirm="all" />);
    await userEvent.click(screen.getByRole("button", { name: "Delete it" }));
    expect(screen.getByRole("button", { name: "Delete" })).toBeDisabled();

    await userEvent.type(screen.getByRole("textbox", { name: "Type “all” to go on" }), "all{Enter}");

    expect(onConfirm).toHaveBeenCalledOnce();
    expect(screen.queryByRole("alertdialog")).not.toBeInTheDocument();
  });
});
