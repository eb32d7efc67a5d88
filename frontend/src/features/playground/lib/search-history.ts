import { type Conversation } from "@/lib/chat/conversation";

/** Those whose title, model or messages hold every word, in the order given. */
export function searchConversations(conversations: readonly Conversation[], search: string): Conversation[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return conversations.filter((conversation) => {
    const text = textOf(conversation);
    return words.every((word) => text.includes(word));
  });
}

function textOf({ title, model, messages, compared }: Conversation): string {
  const contents = [...messages, ...(compared?.messages ?? [])].map((message) => message.content);
  return [title, model ?? "", compared?.model ?? "", ...contents].join("\n").toLowerCase();
}
