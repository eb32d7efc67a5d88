import { cn } from "./cn";

interface ProgressProps {
  /** 0 to 1; null while the end is unknown. */
  value: number | null;
  /** Says what moves on. */
  label: string;
  tone?: "primary" | "success" | "warning" | "destructive";
  className?: string;
}

const TONES = {
  primary: "bg-primary",
  success: "bg-success",
  warning: "bg-warning",
  destructive: "bg-destructive",
};

/** The bare bar; ProgressBar adds bytes, rate and time left. */
export function Progress({ value, label, tone = "primary", className }: ProgressProps) {
  const percent = value === null ? null : Math.round(Math.min(Math.max(value, 0), 1) * 1000) / 10;
  return (
    <div
      data-slot="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent ?? undefined}
      className={cn("h-1.5 w-full overflow-hidden rounded-full bg-muted", className)}
    >
      <div
        className={cn(
          "h-full rounded-full transition-[width] duration-300",
          TONES[tone],
          percent === null && "w-1/3 animate-sweep motion-reduce:w-full motion-reduce:opacity-40",
        )}
        style={percent === null ? undefined : { width: `${percent}%` }}
      />
    </div>
  );
}
