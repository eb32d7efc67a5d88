/** What deleting a model means, in sentences. */
import type { Backend } from "@/lib/api/client";
import { formatBytes } from "@/lib/format/bytes";
import { formatCount } from "@/lib/format/numbers";

type Dependents = Backend<"ModelDependentsPublic">;

const MAX_NAMED = 5;

export function describeLosses(dependents: Dependents): string[] {
  const { num_bytes, num_versions, served_names, jobs } = dependents;
  return [
    num_bytes > 0 ? `${formatBytes(num_bytes)} are freed on the disk.` : "No files are deleted: it has none of its own here.",
    ...(num_versions > 0 ? [`${formatCount(num_versions, "version")} with all that is known of them go for good.`] : []),
    ...(served_names.length ? [`Requests for ${listed(served_names)} fail from then on.`] : []),
    ...(jobs.length ? [`Training jobs stay, and no longer lead here: ${listed(jobs.map((job) => job.name))}.`] : []),
  ];
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return more > 0 ? `${names.slice(0, MAX_NAMED).join(", ")} and ${more} more` : names.join(", ");
}
