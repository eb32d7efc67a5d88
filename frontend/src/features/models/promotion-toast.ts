import { toastFailure, toastSuccess } from "@/components/app/toasts";
import type { Backend } from "@/lib/api/client";

/** What moving an alias has done: the registry follows always, the inference server when it can. */
export function tellPromotion({ alias, version, served, served_name, reason }: Backend<"Promotion">): void {
  const title = `${alias} is v${version} now`;
  if (served) toastSuccess(title, { description: `${served_name} answers with it.` });
  else toastFailure(`${title}, and is not served yet`, { description: reason });
}
