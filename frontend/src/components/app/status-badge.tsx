import {
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleMinus,
  CirclePause,
  CirclePlay,
  CircleStop,
  type LucideIcon,
} from "lucide-react";
import { Badge, type BadgeVariant } from "@/components/ui/badge";

interface Look {
  label: string;
  variant: BadgeVariant;
  icon: LucideIcon;
}

/** Every status of jobs, downloads, tasks, datasets and models. Icon and word say it, the colour only helps. */
const LOOKS: Record<string, Look> = {
  queued: { label: "Queued", variant: "neutral", icon: CircleDashed },
  pending: { label: "Pending", variant: "neutral", icon: CircleDashed },
  running: { label: "Running", variant: "primary", icon: CirclePlay },
  paused: { label: "Paused", variant: "warning", icon: CirclePause },
  completed: { label: "Completed", variant: "success", icon: CircleCheck },
  ready: { label: "Ready", variant: "success", icon: CircleCheck },
  loaded: { label: "Loaded", variant: "success", icon: CircleCheck },
  valid: { label: "Valid", variant: "success", icon: CircleCheck },
  ok: { label: "OK", variant: "success", icon: CircleCheck },
  degraded: { label: "Degraded", variant: "warning", icon: CircleAlert },
  stalled: { label: "Stalled", variant: "warning", icon: CircleAlert },
  failed: { label: "Failed", variant: "destructive", icon: CircleAlert },
  invalid: { label: "Invalid", variant: "destructive", icon: CircleAlert },
  down: { label: "Down", variant: "destructive", icon: CircleAlert },
  cancelled: { label: "Cancelled", variant: "neutral", icon: CircleStop },
  evicted: { label: "Evicted", variant: "neutral", icon: CircleMinus },
  unloaded: { label: "Not loaded", variant: "neutral", icon: CircleMinus },
};

interface StatusBadgeProps {
  status: string;
  /** Says more than the status, such as "Training" for a running job. */
  label?: string;
}

export function StatusBadge({ status, label }: StatusBadgeProps) {
  const look = LOOKS[status] ?? {
    label: status.replaceAll("_", " "),
    variant: "neutral",
    icon: CircleDashed,
  };
  const Icon = look.icon;
  return (
    <Badge variant={look.variant} data-status={status}>
      <Icon aria-hidden />
      {label ?? look.label}
    </Badge>
  );
}
