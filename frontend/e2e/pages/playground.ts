/** The playground, as somebody who chats sees it. */
import { expect, type APIRequestContext, type Locator, type Page } from "@playwright/test";
import type { Stack } from "../support/stack";
import type { Shell } from "./shell";

/** The model that every server has from the start. */
export const DEMO = "mlx-hub/demo";

interface RunningRequest {
  id: string | null;
  generated_tokens: number;
}

export class Playground {
  readonly message: Locator;
  readonly answers: Locator;
  readonly stop: Locator;

  constructor(
    private readonly page: Page,
    private readonly shell: Shell,
    private readonly request: APIRequestContext,
    private readonly stack: Stack,
  ) {
    this.message = page.getByRole("textbox", { name: "Message", exact: true });
    this.answers = page.getByRole("article", { name: /^Answer of/ });
    this.stop = page.getByRole("button", { name: "Stop", exact: true });
  }

  async open(query = ""): Promise<void> {
    await this.shell.open(`/inference${query}`);
    await expect(this.message).toBeVisible();
  }

  /** Sends, and gives the body and the id of the request that went out. */
  async ask(text: string): Promise<{ id: string; body: Record<string, unknown> }> {
    const sent = this.page.waitForRequest((request) => request.url().endsWith("/v1/chat/completions"));
    await this.message.fill(text);
    await this.message.press("Control+Enter");
    const request = await sent;
    return { id: request.headers()["x-request-id"] ?? "", body: request.postDataJSON() as Record<string, unknown> };
  }

  /** Asks, and waits until the answer is complete. */
  async chat(text: string): Promise<Locator> {
    const numBefore = await this.answers.count();
    await this.ask(text);
    const answer = this.answers.nth(numBefore);
    await expect(answer.getByRole("button", { name: "Regenerate" })).toBeEnabled({ timeout: 30_000 });
    return answer;
  }

  /** An answer that goes on for thousands of tokens, whatever the model wants. */
  async makeAnswersLong(): Promise<void> {
    await this.page.getByRole("textbox", { name: "Max tokens" }).fill("7500");
    await this.page.getByRole("button", { name: "More", exact: true }).click();
    await this.page.getByRole("checkbox", { name: "Ignore the end of text" }).click();
  }

  /** What the server does for the request now; null when it knows it no more. */
  async atServer(id: string): Promise<RunningRequest | null> {
    const answer = await this.request.get(`${this.stack.inference}/admin/requests`);
    const { requests } = (await answer.json()) as { requests: RunningRequest[] };
    return requests.find((one) => one.id === id) ?? null;
  }
}
