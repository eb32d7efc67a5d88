/** Conversations kept in this browser, and nowhere else. */
import type { Conversation } from "@/lib/chat/conversation";
import { inStore } from "@/lib/storage/database";

/** The newest first. */
export async function listConversations(): Promise<Conversation[]> {
  const found = await inStore<Conversation[]>("conversations", "readonly", (store) => store.getAll());
  return found.sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
}

export async function getConversation(id: string): Promise<Conversation | null> {
  return (await inStore<Conversation | undefined>("conversations", "readonly", (store) => store.get(id))) ?? null;
}

export async function saveConversation(conversation: Conversation): Promise<void> {
  await inStore("conversations", "readwrite", (store) => store.put(conversation));
}

export async function deleteConversation(id: string): Promise<void> {
  await inStore("conversations", "readwrite", (store) => store.delete(id));
}
