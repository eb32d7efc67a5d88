import { CircleCheck, CircleHelp, CircleX, type LucideIcon, TriangleAlert } from "lucide-react";
import { Badge, type BadgeVariant } from "@/components/ui/badge";
import { describeNeed, type Fit, FIT_LABELS } from "../lib/fit";

const LOOKS: Record<Fit | "unknown", { variant: BadgeVariant; icon: LucideIcon }> = {
  yes: { variant: "success", icon: CircleCheck },
  tight: { variant: "warning", icon: TriangleAlert },
  no: { variant: "destructive", icon: CircleX },
  unknown: { variant: "neutral", icon: CircleHelp },
};

interface FitBadgeProps {
  fit: Fit | null;
  /** The numbers behind the verdict, where both are known. */
  neededBytes?: number | null;
  machineBytes?: number | null;
}

export function FitBadge({ fit, neededBytes = null, machineBytes }: FitBadgeProps) {
  const { variant, icon: Icon } = LOOKS[fit ?? "unknown"];
  const numbers = describeNeed(neededBytes, machineBytes);
  return (
    <span className="flex flex-col gap-0.5">
      <Badge variant={variant}>
        <Icon aria-hidden />
        {FIT_LABELS[fit ?? "unknown"]}
      </Badge>
      {numbers ? <span className="text-2xs whitespace-nowrap text-muted-foreground tabular-nums">{numbers}</span> : null}
    </span>
  );
}
