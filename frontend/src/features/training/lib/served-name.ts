/** Under which name the inference server answers for a version of an adapter. */
import { type Inference } from "@/lib/api/client";

export type Served = Record<string, Inference<"AdminModel">>;

interface Wanted {
  name: string;
  id: string;
  /** Of the version. */
  aliases: readonly string[];
}

/** Null while the server does not have it: only what an alias points to is served. */
export function servedNameOf(models: Served | undefined, { name, id, aliases }: Wanted): string | null {
  const ordered = [...aliases].sort((a, b) => Number(b === "latest") - Number(a === "latest"));
  for (const alias of ordered) {
    // A name that cannot stand in a request is served with its id beside it.
    const suffix = `-${id.replaceAll("-", "").slice(0, 12)}@${alias}`;
    const found = Object.keys(models ?? {}).find((served) => served === `${name}@${alias}` || served.endsWith(suffix));
    if (found) return found;
  }
  return null;
}

/** To the playground, the base model beside the adapter. */
export function chatHref(models: Served | undefined, served: string): string {
  const base = models?.[served]?.base;
  return `/inference?models=${[base, served]
    .filter(Boolean)
    .map((one) => encodeURIComponent(one as string))
    .join(",")}`;
}
