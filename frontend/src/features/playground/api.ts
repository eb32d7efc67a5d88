/** Requests of the playground; the chat itself is `lib/chat/stream-chat`. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { inference, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";
import { type Conversation } from "@/lib/chat/conversation";
import { deleteConversation, listConversations, saveConversation } from "@/lib/storage/history";

/** What each model can do, such as calling tools. */
export const modelAbilities = queryOptions({
  queryKey: keys.served.models,
  queryFn: ({ signal }) => unwrap(inference().GET("/v1/models", { signal })),
  staleTime: 60_000,
});

/** Texts that changed between prompts, as the server remembers them for a while. */
export const cacheMisses = queryOptions({
  queryKey: [...keys.cache.all, "misses"],
  queryFn: ({ signal }) => unwrap(inference().GET("/admin/cache/prompts/misses", { signal })),
});

const HISTORY = ["conversations"] as const;

export const history = queryOptions({ queryKey: HISTORY, queryFn: listConversations, staleTime: Infinity });

/** Writes to the history of this browser, and the list follows. */
export function useHistoryChanges() {
  const client = useQueryClient();
  const refresh = () => client.invalidateQueries({ queryKey: HISTORY });
  const save = useMutation({ mutationFn: saveConversation, onSuccess: refresh });
  const remove = useMutation({
    mutationFn: (conversation: Conversation) => deleteConversation(conversation.id),
    onSuccess: refresh,
  });
  return { save: save.mutateAsync, remove: remove.mutateAsync };
}
