import { describe, expect, it } from "vitest";
import { type Conversation } from "@/lib/chat/conversation";
import { fileNameOf } from "./file-name";
import { searchConversations } from "./search-history";

function conversation(title: string, content: string): Conversation {
  const messages = [{ id: "1", role: "user" as const, content, createdAt: "" }];
  return { id: title, title, createdAt: "", updatedAt: "", model: "org/talker", systemPrompt: "", parameters: {}, messages };
}

describe("searchConversations", () => {
  const all = [conversation("Vault", "What is the code?"), conversation("Bridge", "Who built it?")];

  it("finds words of titles, messages and models, whatever their case", () => {
    expect(searchConversations(all, "BUILT bridge").map(({ title }) => title)).toEqual(["Bridge"]);
    expect(searchConversations(all, "talker")).toHaveLength(2);
    expect(searchConversations(all, " ")).toHaveLength(2);
    expect(searchConversations(all, "vault bridge")).toEqual([]);
  });
});

describe("fileNameOf", () => {
  it("keeps letters and digits of any script", () => {
    expect(fileNameOf("What is the code? (2nd try)")).toBe("what-is-the-code-2nd-try");
    expect(fileNameOf("Größe: 5")).toBe("größe-5");
    expect(fileNameOf("???")).toBe("conversation");
  });
});
