import { drop, jsonl, PAIRS, upload } from "./pages/datasets";
import { expectAccessible } from "./support/axe";
import { uniqueName } from "./support/seed";
import { expect, test } from "./support/test";

test("a dropped file is uploaded; its problems are told with their lines, and it can be trained on", async ({
  page,
  shell,
}) => {
  const name = uniqueName("dropped");
  await shell.open("/datasets");
  await expect(page.getByRole("heading", { name: "Drop files here, or paste rows" })).toBeVisible();

  await drop(page, `${name}.jsonl`, `${jsonl(PAIRS)}this is no JSON\n${jsonl(PAIRS.slice(0, 1))}`);
  const dialog = page.getByRole("dialog", { name: "Upload a dataset" });
  await expect(dialog.getByRole("textbox", { name: "Name" })).toHaveValue(name);
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Upload" }).click();

  await expect(page.getByRole("heading", { name, level: 1 })).toBeVisible();
  await expect(page.getByText("1 unusable row")).toBeVisible();
  await page.getByRole("tab", { name: /^Problems/ }).click();
  const problems = page.getByRole("table", { name: "Problems" });
  await expect(problems.getByRole("row").filter({ hasText: "Invalid JSON" }).getByRole("cell").first()).toHaveText("4");
  await expect(problems.getByRole("row").filter({ hasText: "Duplicate" })).toContainText("line 1");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("The file is what was stored.")).toBeVisible();
  await expect(page.getByRole("link", { name: "Train on it" })).toHaveAttribute(
    "href",
    /\/training\/new\?dataset=[0-9a-f-]{36}$/,
  );
});

test("a pasted table is uploaded with the columns that are chosen", async ({ page, shell }) => {
  await shell.open("/datasets");
  await page.evaluate((text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, "asked,told\nWho built the bridge?,Maria built it.\nWhere is the lamp?,In the attic.\n");

  const paste = page.getByRole("dialog", { name: "Paste rows" });
  await expect(paste.getByRole("radio", { name: "Table" })).toBeChecked();
  await paste.getByRole("button", { name: "Continue" }).click();
  const dialog = page.getByRole("dialog", { name: "Upload a dataset" });
  await dialog.getByRole("textbox", { name: "Name" }).fill(uniqueName("pasted"));
  await expect(dialog.getByRole("button", { name: "Upload" })).toBeDisabled();
  for (const [part, column] of [
    ["Prompt column", "asked"],
    ["Completion column", "told"],
  ] as const) {
    await dialog.getByRole("combobox", { name: part }).click();
    await page.getByRole("option", { name: column }).click();
  }
  await dialog.getByRole("button", { name: "Upload" }).click();

  const rows = page.getByRole("list", { name: "Rows" });
  await expect(rows.getByRole("listitem", { name: "Row 2" })).toContainText("In the attic.");
});

test("what cannot be rows is refused: by its type before it is sent, by its content at the form", async ({
  page,
  shell,
  consoleGuard,
}) => {
  consoleGuard.allow(/status of 422/);
  await shell.open("/datasets");
  await drop(page, "picture.png", "no rows");
  const dialog = page.getByRole("dialog", { name: "Upload a dataset" });
  await expect(dialog.getByRole("alert")).toContainText("picture.png is of no type that holds rows");
  await expect(dialog.getByRole("button", { name: "Upload" })).toBeDisabled();
  await dialog.getByRole("button", { name: "Cancel" }).click();

  await drop(page, `${uniqueName("broken")}.jsonl`, "not a row\n");
  await dialog.getByRole("button", { name: "Upload" }).click();

  await expect(dialog.getByRole("alert")).toContainText(/line 1/i);
});

test("the preview shows which tokens are learned; lengths are told in characters and in tokens", async ({
  page,
  shell,
  seed,
}) => {
  const modelId = await seed.downloadModel();
  const dataset = await upload(seed);
  await shell.open(`/datasets/${dataset.id}?tab=preview&model=${modelId}`);

  const line = page.getByRole("region", { name: "Line 1", exact: true });
  await expect(line.locator("[data-use=learned]")).toContainText("Maria built it.");
  await expect(line.locator("[data-use=context]").first()).toContainText("Who built the bridge?");
  await expectAccessible(page);
  await page.getByRole("spinbutton", { name: "Max. sequence length" }).fill("8");
  await page.getByRole("spinbutton", { name: "Max. sequence length" }).press("Enter");
  await expect(line.locator("[data-use=cut]")).toContainText("Maria built it.");
  await expect(page).toHaveURL(/limit=8/);

  await page.getByRole("radio", { name: "Raw" }).check();
  await expect(line).toContainText('"completion": "Maria built it."');
  await page.getByRole("tab", { name: "Lengths" }).click();
  await expect(page.getByRole("figure", { name: "Rows by length in tokens" })).toContainText("limit 8");
  await page.getByRole("combobox", { name: "Model" }).click();
  await page.getByRole("option", { name: "None: count characters" }).click();
  await expect(page.getByRole("figure", { name: "Rows by length in characters" })).toBeVisible();
  await expectAccessible(page);
});

test("rows are edited, deleted and added, objections are named at their row, and the changes are a new version", async ({
  page,
  shell,
  seed,
  consoleGuard,
}) => {
  consoleGuard.allow(/status of 422/);
  const dataset = await upload(seed);
  await shell.open(`/datasets/${dataset.id}`);
  const editor = page.getByRole("dialog");
  await page.getByRole("button", { name: "Edit row 1" }).click();
  await editor.getByRole("textbox", { name: "completion" }).fill("Anna built it.");
  await editor.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("button", { name: "Delete row 2" }).click();
  await page.getByRole("button", { name: "Add a row at the end" }).click();
  await editor.getByRole("radio", { name: "JSON" }).check();
  await editor.getByRole("textbox", { name: "Row as JSON" }).fill('{"prompt": "What is it?"}');
  await editor.getByRole("button", { name: "Apply" }).click();
  const changes = page.getByRole("region", { name: "Unsaved changes" });
  await expect(changes.getByRole("status")).toHaveText("1 edited, 1 deleted, 1 new");
  await expectAccessible(page);

  await changes.getByRole("button", { name: "Save as a new version" }).click();
  const save = page.getByRole("dialog", { name: "Save as a new version" });
  await save.getByRole("button", { name: "Save", exact: true }).click();
  await expect(save.getByRole("alert")).toContainText("New row:");
  await save.getByRole("button", { name: "Cancel" }).click();
  const added = page.getByRole("listitem", { name: "New row" });
  await expect(added.getByRole("alert")).toBeVisible();
  await added.getByRole("button", { name: "Edit the new row" }).click();
  await editor.getByRole("radio", { name: "JSON" }).check();
  await editor.getByRole("textbox", { name: "Row as JSON" }).fill('{"prompt": "What is it?", "completion": "A lamp."}');
  await editor.getByRole("button", { name: "Apply" }).click();
  await changes.getByRole("button", { name: "Save as a new version" }).click();
  await save.getByRole("button", { name: "Save", exact: true }).click();

  await expect(page.getByRole("heading", { name: `${dataset.name}-v2`, level: 1 })).toBeVisible();
  const rows = page.getByRole("list", { name: "Rows" }).getByRole("listitem");
  await expect(rows).toHaveCount(3);
  await expect(rows.nth(0)).toContainText("Anna built it.");
  await expect(rows.nth(1)).toContainText("At noon.");
  await expect(rows.nth(2)).toContainText("A lamp.");
  await expect(page.getByRole("link", { name: "Edited rows of another dataset" })).toHaveAttribute(
    "href",
    `/datasets/${dataset.id}`,
  );
});

test("duplicates are found by their words and left out of a new dataset", async ({ page, shell, seed }) => {
  const rows = [...PAIRS, { prompt: "who built the bridge", completion: "MARIA built it!" }];
  const dataset = await upload(seed, rows);
  await shell.open(`/datasets/${dataset.id}?tab=duplicates`);
  await expect(page.getByRole("heading", { name: "No duplicates" })).toBeVisible();

  await page.getByRole("radio", { name: "Same words" }).check();
  await expect(page.getByRole("table", { name: "Duplicates" })).toContainText("1, 4");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Make a dataset without them" }).click();

  await expect(page.getByRole("heading", { name: `${dataset.name}-unique`, level: 1 })).toBeVisible();
  await expect(page.getByRole("list", { name: "Rows" }).getByRole("listitem")).toHaveCount(3);
});

test("a dataset is split and converted; what would lose something is named", async ({ page, shell, seed, consoleGuard }) => {
  consoleGuard.allow(/status of 422/);
  const rows = [...PAIRS, { text: "A lamp stands in the attic." }];
  const dataset = await upload(seed, rows);
  await shell.open(`/datasets/${dataset.id}?tab=shape`);

  await page.getByRole("spinbutton", { name: "Validation, %" }).fill("50");
  await page.getByRole("button", { name: "Split" }).click();
  const parts = page.getByRole("list", { name: "Parts" });
  await expect(parts.getByRole("link")).toHaveText([`${dataset.name}-train`, `${dataset.name}-validation`]);

  await page.getByRole("radio", { name: "Chat", exact: true }).check();
  await page.getByRole("button", { name: "Convert" }).click();
  await expect(page.getByRole("main").getByRole("alert")).toContainText("Line 4");
  await expectAccessible(page);
  await page.getByRole("checkbox", { name: "Leave out rows that would lose something" }).check();
  await page.getByRole("button", { name: "Convert" }).click();
  await expect(page.getByText("3 rows, 1 left out")).toBeVisible();
  await page.getByRole("link", { name: `${dataset.name}-chat` }).click();
  await expect(page.getByRole("list", { name: "Rows" }).getByRole("listitem", { name: "Row 1" })).toContainText("assistant");
});

test("a dataset is found in the list and deleted, after what goes with it is told", async ({ page, shell, seed }) => {
  const dataset = await upload(seed);
  await shell.open(`/datasets?q=${dataset.name}`);
  const row = page.getByRole("table", { name: "Datasets" }).getByRole("row").filter({ hasText: dataset.name });
  await expect(row).toContainText("Not used");
  await expect(row).toContainText(dataset.sha256.slice(0, 10));
  await expectAccessible(page);
  await row.getByRole("link", { name: dataset.name }).click();

  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const dialog = page.getByRole("alertdialog", { name: `Delete ${dataset.name}?` });
  await expect(dialog).toContainText("3 rows and");
  await expect(dialog).toContainText("No job and no model version was trained on it.");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Delete" }).click();

  await expect(page).toHaveURL(/\/datasets$/);
  await page.getByRole("searchbox", { name: "Search datasets" }).fill(dataset.name);
  await expect(page.getByRole("heading", { name: "No dataset matches" })).toBeVisible();
  await expectAccessible(page);
});

test("a dataset that is not there, and a list that cannot be read, say so; nothing is wider than a phone", async ({
  page,
  shell,
  seed,
  consoleGuard,
}) => {
  consoleGuard.allow(/status of (404|500)/);
  const dataset = await upload(seed);
  await page.setViewportSize({ width: 320, height: 720 });
  for (const tab of ["rows", "problems", "preview", "lengths", "duplicates", "shape"]) {
    await shell.open(`/datasets/${dataset.id}?tab=${tab}`);
    await expect(page.getByRole("tabpanel")).not.toBeEmpty();
    expect(await shell.overflow(), tab).toBe(0);
  }
  await shell.open("/datasets/00000000-0000-4000-8000-000000000000");
  await expect(page.getByRole("alert").filter({ hasText: "Could not load the dataset" })).toBeVisible();
  await expectAccessible(page);

  const problem = { title: "Internal error", status: 500, code: "internal_error", detail: "The database does not answer." };
  await page.route("**/api/v1/datasets?*", (route) =>
    route.fulfill({ status: 500, json: problem, contentType: "application/problem+json" }),
  );
  await shell.open("/datasets");
  await expect(page.getByRole("alert").filter({ hasText: "Could not load the datasets" })).toBeVisible();
  expect(await shell.overflow()).toBe(0);
  await expectAccessible(page);
});
