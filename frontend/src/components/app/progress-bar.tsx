import { Progress } from "@/components/ui/progress";
import { formatBytesOf, formatBytesPerSecond } from "@/lib/format/bytes";
import { formatPercent } from "@/lib/format/numbers";
import { formatRemaining } from "@/lib/format/progress";

interface ProgressBarProps {
  /** Says what moves on, for screen readers. */
  label: string;
  /** 0 to 1; null while the end is unknown. */
  value: number | null;
  /** At the left below the bar: "1.2 of 4.8 GB", "step 120 of 500". */
  amount?: string;
  /** At the right: "12 MB/s", "820 tok/s". */
  rate?: string | null;
  remainingSeconds?: number | null;
  /** Nothing has arrived for a while. */
  stalled?: boolean;
  tone?: "primary" | "success" | "warning" | "destructive";
}

export function ProgressBar({ label, value, amount, rate, remainingSeconds, stalled, tone }: ProgressBarProps) {
  const right = stalled ? ["Stalled, retrying"] : [rate, formatRemaining(remainingSeconds)].filter(Boolean);
  return (
    <div className="flex w-full min-w-0 flex-col gap-1">
      <Progress label={label} value={value} tone={stalled ? "warning" : tone} />
      <div className="flex flex-wrap justify-between gap-x-3 text-xs text-muted-foreground tabular-nums">
        <span>{[amount, value === null ? null : formatPercent(value)].filter(Boolean).join(" · ")}</span>
        <span>{right.join(" · ")}</span>
      </div>
    </div>
  );
}

interface BytesProgressBarProps {
  label: string;
  doneBytes: number;
  /** 0 or null while unknown. */
  totalBytes: number | null;
  bytesPerSecond?: number | null;
  remainingSeconds?: number | null;
  stalled?: boolean;
}

/** For downloads and uploads. */
export function BytesProgressBar({ doneBytes, totalBytes, bytesPerSecond, ...props }: BytesProgressBarProps) {
  return (
    <ProgressBar
      value={totalBytes ? doneBytes / totalBytes : null}
      amount={formatBytesOf(doneBytes, totalBytes)}
      rate={bytesPerSecond ? formatBytesPerSecond(bytesPerSecond) : null}
      {...props}
    />
  );
}
