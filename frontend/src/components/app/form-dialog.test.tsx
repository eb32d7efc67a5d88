import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { describe, expect, it } from "vitest";
import { Button } from "@/components/ui/button";
import { Field } from "@/components/ui/field";
import { Input } from "@/components/ui/input";
import { FormDialog } from "./form-dialog";

interface NamingProps {
  description?: string;
  message?: string | null;
  pending?: boolean;
}

/** Shows what was sent. */
function Naming(props: NamingProps) {
  const [isOpen, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [sent, setSent] = useState("nothing");
  return (
    <>
      <Button onClick={() => setOpen(true)}>Name it</Button>
      <p>Sent: {sent}</p>
      {isOpen ? (
        <FormDialog
          {...props}
          title="Name the model"
          action="Save"
          disabled={!name}
          onSubmit={() => setSent(name)}
          onClose={() => setOpen(false)}
        >
          <Field label="Name">
            {(control) => <Input {...control} value={name} onChange={(event) => setName(event.target.value)} />}
          </Field>
        </FormDialog>
      ) : null}
    </>
  );
}

async function open(props: NamingProps = {}) {
  const user = userEvent.setup();
  render(<Naming {...props} />);
  await user.click(screen.getByRole("button", { name: "Name it" }));
  return user;
}

describe("FormDialog", () => {
  it("sends with Enter and with its button", async () => {
    const user = await open();

    await user.type(screen.getByRole("textbox", { name: "Name" }), "ada{Enter}");
    expect(screen.getByText("Sent: ada")).toBeInTheDocument();

    await user.type(screen.getByRole("textbox", { name: "Name" }), "-2");
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(screen.getByText("Sent: ada-2")).toBeInTheDocument();
  });

  it("sends nothing while it is disabled, nor while it is under way", async () => {
    const user = await open({ pending: true });
    const field = screen.getByRole("textbox", { name: "Name" });

    await user.type(field, "{Enter}");
    await user.type(field, "ada{Enter}");

    expect(screen.getByText("Sent: nothing")).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Save" })).toBeDisabled();
  });

  it("closes with Cancel, and the focus returns", async () => {
    const user = await open();

    await user.click(screen.getByRole("button", { name: "Cancel" }));

    expect(screen.queryByRole("dialog")).not.toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Name it" })).toHaveFocus();
  });

  it("is described by what comes of it, and says what is wrong with all of it", async () => {
    await open({ description: "Clients ask for this name.", message: "The name is taken." });

    expect(screen.getByRole("dialog", { name: "Name the model" })).toHaveAccessibleDescription("Clients ask for this name.");
    expect(screen.getByRole("alert")).toHaveTextContent("The name is taken.");
  });

  it("has no description and no alert when there is nothing to say", async () => {
    await open();

    expect(screen.getByRole("dialog", { name: "Name the model" })).not.toHaveAttribute("aria-describedby");
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  });
});
