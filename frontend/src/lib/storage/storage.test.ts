import { act, renderHook } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { deployedURL, serviceURL, setDeployedURLs } from "@/lib/api/endpoints";
import { downloadFile } from "@/lib/storage/download-file";
import { DEFAULT_SETTINGS, parseSettings, settings, useSettings } from "@/lib/storage/settings";

const KEY = "mlx-hub.settings";

beforeEach(() => settings.reset());

describe("parseSettings", () => {
  it.each([null, "text", 3, []])("makes defaults of %j", (stored) => {
    expect(parseSettings(stored)).toEqual(DEFAULT_SETTINGS);
  });

  it("keeps what makes sense and drops what does not", () => {
    const stored = { backendUrl: "javascript:alert(1)", inferenceUrl: "http://mac.local:8080", temperature: 9, maxTokens: 5 };

    expect(parseSettings(stored)).toEqual({ ...DEFAULT_SETTINGS, inferenceUrl: "http://mac.local:8080", maxTokens: 5 });
  });
});

describe("settings", () => {
  it("are shown where they are used, at once and after a reload", () => {
    const { result } = renderHook(() => useSettings());

    act(() => settings.set({ apiKey: "k" }));

    expect(result.current.apiKey).toBe("k");
    expect(parseSettings(JSON.parse(localStorage.getItem(KEY) as string)).apiKey).toBe("k");
  });

  it("follow another tab", () => {
    const { result } = renderHook(() => useSettings());

    act(() => {
      localStorage.setItem(KEY, JSON.stringify({ systemPrompt: "Be brief." }));
      window.dispatchEvent(new StorageEvent("storage", { key: KEY }));
    });

    expect(result.current.systemPrompt).toBe("Be brief.");
  });

  it("survive damage", () => {
    localStorage.setItem(KEY, "{");

    expect(settings.get()).toEqual(DEFAULT_SETTINGS);
  });

  it("last as long as the tab where nothing can be stored", () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new DOMException("", "QuotaExceededError");
    });

    settings.set({ apiKey: "k" });

    expect(settings.get().apiKey).toBe("k");
  });
});

describe("serviceURL", () => {
  it("is what Settings says, else where the dashboard was started with, without a slash at its end", () => {
    setDeployedURLs({ backend: "http://a:1/", inference: "http://b:2" });
    settings.set({ inferenceUrl: "http://c:3//" });

    expect([serviceURL("backend"), serviceURL("inference")]).toEqual(["http://a:1", "http://c:3"]);
    expect(deployedURL("inference")).toBe("http://b:2");
  });
});

it("a file is saved under its name with its content", async () => {
  const saved: { name: string; blob: Blob }[] = [];
  let blob = new Blob();
  URL.createObjectURL = (given) => ((blob = given as Blob), "blob:1");
  URL.revokeObjectURL = () => {};
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    saved.push({ name: this.download, blob });
  });

  downloadFile("a.csv", "x,y\n", "text/csv");

  expect(saved[0]).toMatchObject({ name: "a.csv", blob: { size: 4, type: "text/csv" } });
});
