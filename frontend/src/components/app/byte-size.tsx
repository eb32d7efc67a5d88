import { cn } from "@/components/ui/cn";
import { formatBytes } from "@/lib/format/bytes";
import { formatInteger, isPresent } from "@/lib/format/numbers";

/** A size people can read; the exact number on hover. */
export function ByteSize({ bytes, className }: { bytes: number | null | undefined; className?: string }) {
  const exact = isPresent(bytes) ? `${formatInteger(bytes)} bytes` : undefined;
  return (
    <span title={exact} className={cn("whitespace-nowrap tabular-nums", className)}>
      {formatBytes(bytes)}
    </span>
  );
}
