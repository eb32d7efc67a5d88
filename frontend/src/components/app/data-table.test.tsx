import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { type Column, DataTable } from "./data-table";

interface Row {
  name: string;
  size: number;
}

const ROWS: Row[] = [
  { name: "first", size: 1 },
  { name: "second", size: 2 },
  { name: "third", size: 3 },
];

const COLUMNS: Column<Row>[] = [
  { id: "name", header: "Name", cell: (row) => row.name },
  { id: "size", header: "Size", cell: (row) => row.size, align: "right", sortable: true },
];

const shared = { label: "Things", columns: COLUMNS, rows: ROWS, rowKey: (row: Row) => row.name };

describe("DataTable", () => {
  it("moves between rows by arrow keys, Home and End", async () => {
    render(<DataTable {...shared} href={(row) => `/things/${row.name}`} />);
    const user = userEvent.setup();
    screen.getByRole("link", { name: "first" }).focus();

    await user.keyboard("{ArrowDown}");
    expect(screen.getByRole("link", { name: "second" })).toHaveFocus();
    await user.keyboard("{End}");
    expect(screen.getByRole("link", { name: "third" })).toHaveFocus();
    await user.keyboard("{ArrowDown}{Home}");
    expect(screen.getByRole("link", { name: "first" })).toHaveFocus();
  });

  it("follows the row's link for a click anywhere in the row", async () => {
    render(<DataTable {...shared} href={(row) => `#${row.name}`} />);
    const followed = vi.fn((event: Event) => event.preventDefault());
    screen.getByRole("link", { name: "second" }).addEventListener("click", followed);

    await userEvent.click(screen.getByRole("cell", { name: "2" }));

    expect(followed).toHaveBeenCalledOnce();
  });

  it("asks for the other order and says which one is shown", async () => {
    const onSortChange = vi.fn();
    render(<DataTable {...shared} sort={{ id: "size", direction: "desc" }} onSortChange={onSortChange} />);
    const header = screen.getByRole("columnheader", { name: "Size" });
    expect(header).toHaveAttribute("aria-sort", "descending");

    await userEvent.click(within(header).getByRole("button"));

    expect(onSortChange).toHaveBeenCalledWith({ id: "size", direction: "asc" });
  });

  it("shows what stands for no rows", () => {
    render(<DataTable {...shared} rows={[]} empty={<p>Nothing here</p>} />);

    expect(screen.getByText("Nothing here")).toBeInTheDocument();
    expect(screen.queryByRole("table")).not.toBeInTheDocument();
  });
});
