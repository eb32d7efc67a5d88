import { expectAccessible } from "./support/axe";
import { ANSWER, QUESTION, uniqueName } from "./support/seed";
import { expect, test } from "./support/test";

const FAST = { epochs: 2, save_every: 2 };
/** Ends within a second, before the first step: no model has such a module. */
const BROKEN = { target_modules: ["no_such_proj"] };
const USABLE = {
  messages: [
    { role: "user", content: QUESTION },
    { role: "assistant", content: ANSWER },
  ],
};

/** Jobs of all tests share one trainer, and wait for each other. */
test.describe.configure({ timeout: 240_000 });

test("a job from the form is watched, survives a reload, and its adapter answers", async ({
  page,
  shell,
  seed,
  stack,
  request,
}) => {
  const [modelId, dataset, adapter] = [await seed.downloadModel(), await seed.uploadDataset(), uniqueName("form")];
  await shell.open(`/training/new?model=${modelId}&dataset=${dataset.id}`);
  const form = page.getByRole("form", { name: "New training job" });
  await form.getByRole("radio", { name: "Quick try" }).check();
  await expect(form.getByRole("textbox", { name: "Rank" })).toHaveValue("8");
  await form.getByRole("textbox", { name: "Epochs" }).fill("25");
  await form.getByRole("textbox", { name: "Learning rate", exact: true }).fill("0.01");
  await form.getByRole("button", { name: "Evaluation and checkpoints" }).click();
  await form.getByRole("textbox", { name: "Held out", exact: true }).fill("0");
  await form.getByRole("textbox", { name: "Adapter" }).fill(adapter);
  const checks = page.getByRole("region", { name: "Checks before the start" });
  await expect(checks).toContainText("It fits into this machine.", { timeout: 30_000 });
  await expect(checks).toContainText(/Steps100/);
  await expectAccessible(page);

  await checks.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByRole("heading", { level: 1, name: adapter })).toBeVisible({ timeout: 30_000 });
  const steps = page.getByRole("progressbar", { name: "Steps of the job" });
  await expect.poll(async () => Number(await steps.getAttribute("aria-valuenow")), { timeout: 60_000 }).toBeGreaterThan(0);
  await expect(page.getByRole("img", { name: /^Loss\. / })).toBeVisible({ timeout: 30_000 });

  await page.reload();
  await expect(page.getByRole("img", { name: /^Loss\. / })).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole("main").locator("[data-status=completed]")).toBeVisible({ timeout: 90_000 });
  await expect(page.getByText("step 100 of 100")).toBeVisible();

  const chat = page.getByRole("link", { name: "Chat with it" });
  await expect(chat).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);
  const served = `${adapter}@latest`;
  const answer = await request.post(`${stack.inference}/v1/chat/completions`, {
    data: { model: served, messages: [{ role: "user", content: QUESTION }], max_tokens: 20, temperature: 0 },
  });
  expect(await answer.text()).toContain("4711");
  await chat.click();
  await expect(page).toHaveURL((url) => decodeURIComponent(url.search).endsWith(`,${served}`), { timeout: 60_000 });
});

test("a running job is cancelled, keeps what it has, and is resumed from there", async ({ page, shell, seed }) => {
  const job = await seed.startTraining({ epochs: 400, save_every: 2 });
  await shell.open(`/training/${job.id}`);
  await expect(page.getByText(/^step [1-9][\d,]* of 1,600/)).toBeVisible({ timeout: 90_000 });

  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  const question = page.getByRole("alertdialog", { name: `Stop ${job.name}?` });
  await expect(question).toContainText("You can resume it later from there.");
  await question.getByRole("button", { name: "Stop the job" }).click();
  await expect(page.getByRole("main").locator("[data-status=cancelled]")).toBeVisible({ timeout: 60_000 });
  const stopped = await seed.get<{ step: number }>(`/training/${job.id}`);
  expect(stopped.step).toBeGreaterThan(0);

  await page.getByRole("button", { name: "Resume" }).click();
  await expect
    .poll(async () => (await seed.get<{ step: number }>(`/training/${job.id}`)).step, { timeout: 90_000 })
    .toBeGreaterThan(stopped.step);
  await expect(page.getByText("Attempt 2").first()).toBeVisible();
  await seed.post(`/training/${job.id}/cancel`);
  await expect(page.getByRole("button", { name: "Delete" })).toBeVisible({ timeout: 60_000 });

  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/training$/, { timeout: 30_000 });
});

test("rows that cannot be used are named before the start, and too many of them prevent it", async ({ page, shell, seed }) => {
  const modelId = await seed.downloadModel();
  const some = await seed.uploadDataset(uniqueName("some-bad"), [USABLE, USABLE, USABLE, { nothing: 1 }], 1);
  const most = await seed.uploadDataset(uniqueName("most-bad"), [USABLE, { nothing: 1 }, { nothing: 2 }, { nothing: 3 }], 1);
  await shell.open(`/training/new?model=${modelId}&dataset=${some.id}`);
  const checks = page.getByRole("region", { name: "Checks before the start" });
  const start = checks.getByRole("button", { name: "Start training" });
  await expect(checks).toContainText("Look at these rows", { timeout: 30_000 });
  await expect(checks).toContainText("line 4");
  await expect(start).toBeEnabled();

  await page.getByRole("textbox", { name: "Rank" }).fill("0");
  await expect(page.getByText("It must be 1 to 1,024.")).toBeVisible();
  await expect(start).toBeDisabled();

  await shell.open(`/training/new?model=${modelId}&dataset=${most.id}`);
  await expect(checks.getByText("It cannot start")).toBeVisible({ timeout: 30_000 });
  await expect(start).toBeDisabled();
  await expectAccessible(page);
});

test("a failed job says why and what to do, and a clone begins with its settings", async ({ page, shell, seed }) => {
  const job = await seed.startTraining(BROKEN);
  await shell.open(`/training/${job.id}?tab=settings`);
  const alert = page.getByRole("main").getByRole("alert");
  await expect(alert).toContainText("no_such_proj", { timeout: 90_000 });
  await expect(alert).toContainText("Clone the job and correct the names of the modules.");
  await expect(page.getByRole("tabpanel", { name: "Settings" })).toContainText("no_such_proj");
  await expectAccessible(page);

  await page.getByRole("tab", { name: "Log" }).click();
  await expect(page).toHaveURL(/tab=log/);
  await expect(page.getByRole("region", { name: "Log" })).toBeVisible();

  await page.getByRole("link", { name: "Clone" }).click();
  await expect(page.getByRole("textbox", { name: "Adapter" })).toHaveValue(job.adapter_name, { timeout: 30_000 });
  await page.getByRole("button", { name: /^Adapter/ }).click();
  await expect(page.getByRole("textbox", { name: "Modules" })).toHaveValue("no_such_proj");
});

test("runs are found by filters in the address and compared with what differs", async ({ page, shell, seed }) => {
  const trained = await seed.train(FAST);
  const failed = await seed.startTraining({ ...FAST, ...BROKEN, lora_rank: 4 });
  await shell.open(`/training?dataset=${trained.dataset_id}`);
  const table = page.getByRole("table", { name: "Training jobs" });
  await expect(table.getByRole("link", { name: trained.name })).toBeVisible();
  await expectAccessible(page);
  await page.getByRole("radio", { name: "Cancelled" }).check();
  await expect(page).toHaveURL(/status=cancelled/);
  await expect(page.getByRole("heading", { name: "No job matches" })).toBeVisible();
  await expectAccessible(page);

  await shell.open(`/training/compare?runs=${trained.id},${failed.id}`);
  const settings = page.getByRole("table", { name: "Settings of the runs" });
  await expect(settings.getByRole("row", { name: /^Rank/ })).toContainText("4");
  await expect(settings.getByRole("row", { name: /^Epochs/ })).toHaveCount(0);
  await page.getByRole("switch", { name: "Also what is the same" }).click();
  await expect(settings.getByRole("row", { name: /^Epochs/ })).toBeVisible();
  await expect(page.getByRole("img", { name: /^Train loss\. / })).toBeVisible({ timeout: 30_000 });
  await expectAccessible(page);
});

test("what cannot be loaded says so in its place and can be tried again; pages fit a narrow screen", async ({
  page,
  shell,
  consoleGuard,
}) => {
  consoleGuard.allow(/503|404/);
  await page.setViewportSize({ width: 320, height: 640 });
  const isListOfJobs = (url: URL) => url.pathname.endsWith("/api/v1/training");
  await page.route(isListOfJobs, (route) => route.fulfill({ status: 503, json: { code: "unavailable", detail: "Not now." } }));
  await shell.open("/training");
  const alert = page.getByRole("main").getByRole("alert");
  await expect(alert).toContainText("Could not load the jobs", { timeout: 30_000 });
  await expectAccessible(page);
  await page.unroute(isListOfJobs);
  await alert.getByRole("button", { name: "Retry" }).click();
  await expect(alert).toHaveCount(0, { timeout: 30_000 });
  expect(await shell.overflow()).toBe(0);

  await shell.open("/training/0193abcd-0000-7000-8000-00000000000a");
  await expect(alert).toContainText("Could not load the job", { timeout: 30_000 });
  for (const path of ["/training/new", "/training/compare"]) {
    await shell.open(path);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    expect(await shell.overflow()).toBe(0);
    await expectAccessible(page);
  }
});
