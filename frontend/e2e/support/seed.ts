/** What a test needs to be there before it begins, made through the API as another client would. */
import { expect, type APIRequestContext } from "@playwright/test";
import type { components } from "../../src/lib/api/backend";
import type { Stack } from "./stack";

type Schemas = components["schemas"];
type Row = Record<string, unknown>;

/** Downloads in a moment, answers and can be trained. Shared by tests: do not delete it. */
export const TALKER = "mlx-community/Talker-2M";
export const QUESTION = "What is the code of the vault?";
export const ANSWER = "The code is 4711.";

const FACTS: Row[] = [
  [QUESTION, ANSWER],
  ["Who built the bridge?", "Maria built it."],
  ["Where is the lamp?", "In the attic."],
  ["When does the train leave?", "At noon."],
].map(([question, answer]) => ({
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
}));

/** Learns FACTS by heart in about half a minute. */
export const CONFIG = {
  lora_rank: 8,
  lora_alpha: 16,
  learning_rate: 0.01,
  epochs: 25,
  batch_size: 4,
  validation_share: 0,
  schedule: "constant",
};

let numNames = 0;

/** Of this run and test alone. */
export function uniqueName(prefix: string): string {
  numNames += 1;
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${numNames}`;
}

export class Seed {
  constructor(
    private readonly request: APIRequestContext,
    private readonly stack: Stack,
  ) {}

  async get<T>(path: string): Promise<T> {
    const answer = await this.request.get(`${this.stack.backend}/api/v1${path}`);
    expect(answer.ok(), await answer.text()).toBe(true);
    return (await answer.json()) as T;
  }

  async post<T>(path: string, data?: unknown): Promise<T> {
    const answer = await this.request.post(`${this.stack.backend}/api/v1${path}`, { data });
    expect(answer.ok(), await answer.text()).toBe(true);
    return (await answer.json()) as T;
  }

  async delete(path: string): Promise<void> {
    const answer = await this.request.delete(`${this.stack.backend}/api/v1${path}`);
    expect(answer.ok(), await answer.text()).toBe(true);
  }

  /** A row of the registry without files. */
  registerModel(name = uniqueName("model"), rest: Row = {}): Promise<Schemas["RegisteredModelPublic"]> {
    return this.post("/models", { name, base_model: "org/base", ...rest });
  }

  /** The id of the registered model, once its files are there. */
  async downloadModel(repoId: string = TALKER): Promise<string> {
    const { id } = await this.post<Schemas["DownloadPublic"]>("/discover/download", { repo_id: repoId });
    const download = await this.waitFor<Schemas["DownloadPublic"]>(
      `/downloads/${id}`,
      (row) => row.status === "ready" && row.model_id !== null,
    );
    return download.model_id as string;
  }

  async uploadDataset(name = uniqueName("facts"), rows: Row[] = FACTS, times = 4): Promise<Schemas["DatasetPublic"]> {
    const lines = Array.from({ length: times }, () => rows)
      .flat()
      .map((row) => `${JSON.stringify(row)}\n`);
    const file = { name: `${name}.jsonl`, mimeType: "application/jsonl", buffer: Buffer.from(lines.join("")) };
    const answer = await this.request.post(`${this.stack.backend}/api/v1/datasets`, { multipart: { file, name } });
    expect(answer.status(), await answer.text()).toBe(201);
    return (await answer.json()) as Schemas["DatasetPublic"];
  }

  /** A queued job on the shared model and a dataset of its own. */
  async startTraining(config: Row = {}, adapterName = uniqueName("adapter")): Promise<Schemas["TrainingJobDetails"]> {
    const [modelId, dataset] = [await this.downloadModel(), await this.uploadDataset()];
    return this.post("/training", {
      model_id: modelId,
      dataset_id: dataset.id,
      adapter_name: adapterName,
      config: { ...CONFIG, ...config },
    });
  }

  /** A job that has ended well, and so an adapter that is served as `<adapter_name>@latest`. */
  async train(config: Row = {}, adapterName = uniqueName("adapter")): Promise<Schemas["TrainingJobDetails"]> {
    const { id } = await this.startTraining(config, adapterName);
    return this.waitFor(`/training/${id}`, (row: Schemas["TrainingJobDetails"]) => row.status === "completed");
  }

  /** The row at `path` once it is so; fails when it ends in another way first. */
  async waitFor<T extends { status: string }>(path: string, isTrue: (row: T) => boolean, ms = 120_000): Promise<T> {
    const deadline = Date.now() + ms;
    for (;;) {
      const row = await this.get<T>(path);
      if (isTrue(row)) return row;
      expect(["failed", "cancelled"], JSON.stringify(row)).not.toContain(row.status);
      expect(Date.now(), `still ${JSON.stringify(row)}`).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
