import { PromptCache } from "@/features/cache/components/prompt-cache";

export const metadata = { title: "Prompt cache" };

export default function CachePage() {
  return <PromptCache />;
}
