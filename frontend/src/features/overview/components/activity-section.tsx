"use client";

import Link from "next/link";
import { type Activity, useActivities } from "@/components/app/activity";
import { ActivityProgress } from "@/components/app/activity-progress";
import { Section } from "@/components/app/page";
import { StatusBadge } from "@/components/app/status-badge";
import { Card } from "@/components/ui/card";

/** Jobs, downloads and tasks under way. Nothing at all when nothing runs. */
export function ActivitySection() {
  const activities = useActivities();
  if (activities.length === 0) return null;
  return (
    <Section title="Under way">
      <Card>
        <ul aria-label="Under way" className="divide-y">
          {activities.map((activity) => (
            <ActivityRow key={activity.id} activity={activity} />
          ))}
        </ul>
      </Card>
    </Section>
  );
}

function ActivityRow({ activity }: { activity: Activity }) {
  const { kind, title, href, status } = activity;
  return (
    <li className="flex flex-col gap-2 px-4 py-3 sm:flex-row sm:items-center sm:gap-6">
      <div className="flex min-w-0 flex-col gap-1 sm:w-2/5">
        <Link href={href} className="rounded-sm text-sm font-medium break-all hover:underline">
          {title}
        </Link>
        <span className="flex items-center gap-2 text-xs text-muted-foreground">
          {kind}
          <StatusBadge status={status} />
        </span>
      </div>
      <ActivityProgress activity={activity} />
    </li>
  );
}
