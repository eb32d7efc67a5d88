"use client";

import { Activity as ActivityIcon } from "lucide-react";
import Link from "next/link";
import { formatCount } from "@/lib/format/numbers";
import { type Activity, useActivities } from "./activity";
import { ActivityProgress } from "./activity-progress";
import { PanelButton } from "./panel-button";
import { StatusBadge } from "./status-badge";

/** Jobs, downloads and tasks that have not ended, wherever one is. */
export function ActivityTray() {
  const activities = useActivities();
  const count = activities.length;
  return (
    <PanelButton
      variant="ghost"
      size={count ? "default" : "icon"}
      className={count ? "px-2" : undefined}
      aria-label={count ? `Activity: ${formatCount(count, "item")}` : "Activity: nothing runs"}
      title="Activity"
      panelLabel="Activity"
      panelClassName="w-96 p-1"
      panel={(close) => <ActivityList activities={activities} onFollow={close} />}
    >
      <ActivityIcon aria-hidden className={count ? "text-primary-text" : undefined} />
      {count ? <span className="text-xs text-foreground tabular-nums">{count}</span> : null}
    </PanelButton>
  );
}

function ActivityList({ activities, onFollow }: { activities: readonly Activity[]; onFollow: () => void }) {
  if (activities.length === 0) {
    return (
      <p className="px-3 py-6 text-center text-sm text-balance text-muted-foreground">
        Nothing runs now. Training jobs, downloads and exports show here while they do.
      </p>
    );
  }
  return (
    <ul className="flex flex-col">
      {activities.map((activity) => (
        <li key={activity.id}>
          <ActivityRow activity={activity} onFollow={onFollow} />
        </li>
      ))}
    </ul>
  );
}

function ActivityRow({ activity, onFollow }: { activity: Activity; onFollow: () => void }) {
  const { kind, title, href, status } = activity;
  const isRunning = status === "running";
  return (
    <Link href={href} onClick={onFollow} className="flex flex-col gap-1.5 rounded-md px-2.5 py-2 hover:bg-accent">
      <span className="flex items-center justify-between gap-2 text-sm">
        <span className="min-w-0 truncate font-medium">{title}</span>
        <StatusBadge status={status} label={isRunning ? kind : undefined} />
      </span>
      {isRunning ? <ActivityProgress activity={activity} /> : null}
    </Link>
  );
}
