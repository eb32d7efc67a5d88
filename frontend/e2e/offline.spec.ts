import { expectAccessible } from "./support/axe";
import { expect, test } from "./support/test";

/** For this test alone, as a repository is downloaded once. */
const SLOW_TO_COME = "mlx-community/Slow-Talker-2M-offline";
const NETWORK_FAILURES = /net::ERR_|Failed to fetch|NetworkError/;

for (const [service, name] of [
  ["backend", "backend"],
  ["inference", "inference server"],
] as const) {
  test(`without the ${name} every page says which service is down and where, and recovers by itself`, async ({
    page,
    shell,
    wireTo,
    consoleGuard,
  }) => {
    consoleGuard.allow(NETWORK_FAILURES);
    const wire = await wireTo(service);
    await shell.open("/models");
    await expect(page.getByRole("button", { name: "Services: All services OK" })).toBeVisible();

    await wire.cut();

    const banner = page.getByText(`The ${name} at ${wire.url} does not answer.`);
    await expect(banner.first()).toBeVisible({ timeout: 30_000 });
    await expectAccessible(page);

    await wire.restore();
    await expect(banner).toHaveCount(0, { timeout: 30_000 });
    await expect(page.getByRole("button", { name: "Services: All services OK" })).toBeVisible();
  });
}

test("what begins while the event stream is cut is shown when it is back", async ({
  page,
  shell,
  seed,
  wireTo,
  consoleGuard,
}) => {
  consoleGuard.allow(NETWORK_FAILURES);
  const wire = await wireTo("backend");
  await shell.open("/settings");
  await expect(page.getByRole("button", { name: "Services: All services OK" })).toBeVisible();

  await wire.cut();
  const { id } = await seed.post<{ id: string }>("/discover/download", { repo_id: SLOW_TO_COME });
  await seed.post(`/downloads/${id}/pause`);
  await wire.restore();

  const tray = page.getByRole("button", { name: /^Activity: \d/ });
  await expect(tray).toBeVisible({ timeout: 30_000 });
  await tray.click();
  await expect(page.getByRole("link", { name: new RegExp(SLOW_TO_COME) })).toBeVisible();
  await seed.post(`/downloads/${id}/cancel`);
  await expect(page.getByRole("link", { name: new RegExp(SLOW_TO_COME) })).toBeHidden();
});
