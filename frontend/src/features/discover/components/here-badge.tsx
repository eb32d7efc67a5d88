import { StatusBadge } from "@/components/app/status-badge";
import { formatPercent } from "@/lib/format/numbers";
import { type Download, isUnfinished } from "../lib/download-state";

/** Whether a model of the hub is on this machine, or on its way. */
export function HereBadge({ download }: { download: Download | undefined }) {
  if (!download) return null;
  if (download.status === "ready") return <StatusBadge status="ready" label="On this machine" />;
  if (download.status === "failed") return <StatusBadge status="failed" label="Download failed" />;
  if (!isUnfinished(download)) return null;
  const share = download.num_bytes_total ? ` ${formatPercent(download.num_bytes_done / download.num_bytes_total)}` : "";
  const word = { running: "Downloading", paused: "Paused", queued: "Queued" }[download.status as string];
  return <StatusBadge status={download.status} label={`${word}${share}`} />;
}
