import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { type Backend } from "@/lib/api/client";
import { GatedNotice } from "./gated-notice";

it("leads to the hub that the backend is set to", () => {
  const model = {
    url: "https://mirror.example/hf/org/model",
    tokens_url: "https://mirror.example/hf/settings/tokens",
  } as Backend<"HubModelDetails">;

  render(<GatedNotice model={model} onCheck={() => {}} checking={false} />);

  expect(screen.getByRole("link", { name: /its page on the hub/ })).toHaveAttribute("href", model.url);
  expect(screen.getByRole("link", { name: /your settings there/ })).toHaveAttribute("href", model.tokens_url);
});
