/** Pages of the hub for people; what the services fetch comes from HF_ENDPOINT. */
const HUB = "https://huggingface.co";

export const TOKENS_URL = `${HUB}/settings/tokens`;

export function hubURL(repoId: string): string {
  return `${HUB}/${repoId}`;
}
