/** Text that changes from call to call and so keeps a prompt from being found: the header `x-cache-volatile` in words. */
import { formatInteger } from "@/lib/format/numbers";

export interface CacheChange {
  /** From 0; null: outside the messages, in what the chat template wrote. */
  message: number | null;
  role: string | null;
  /** Such as `date`, `billing_header` or `other`. */
  kind: string;
  lostTokens: number;
}

/** Of `message=0; role=system; chars=9-19; kind=date; lost_tokens=1310`; several are separated by commas. */
export function parseCacheChanges(header: string | null): CacheChange[] {
  return (header ?? "")
    .split(",")
    .map((part) => new Map(part.split(";").map((field) => field.trim().split("=", 2) as [string, string | undefined])))
    .filter((facts) => facts.get("kind"))
    .map((facts) => ({
      message: facts.has("message") ? Number(facts.get("message")) : null,
      role: facts.get("role") ?? null,
      kind: facts.get("kind") ?? "other",
      lostTokens: Number(facts.get("lost_tokens") ?? 0) || 0,
    }));
}

/** Such as `A date changed in message 1 (system): 1,310 stored tokens were computed again.` */
export function describeCacheChange(change: CacheChange): string {
  const kind = change.kind === "other" ? "text" : change.kind.replaceAll("_", " ");
  const what = kind === "text" ? "Text" : `${/^[aeio]/.test(kind) ? "An" : "A"} ${kind}`;
  const where =
    change.message === null ? "the prompt" : `message ${change.message + 1}${change.role ? ` (${change.role})` : ""}`;
  return `${what} changed in ${where}: ${formatInteger(change.lostTokens)} stored tokens were computed again.`;
}
