import { type Activity } from "./activity";
import { ProgressBar } from "./progress-bar";

/** How far it is, in amber while it is paused. */
export function ActivityProgress({ activity }: { activity: Activity }) {
  const { kind, title, status, progress, amount, rate, remainingSeconds } = activity;
  return (
    <ProgressBar
      label={`${kind} ${title}`}
      value={progress}
      amount={amount}
      rate={rate}
      remainingSeconds={remainingSeconds}
      tone={status === "paused" ? "warning" : undefined}
    />
  );
}
