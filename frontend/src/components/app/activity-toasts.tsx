"use client";

import { useRouter } from "next/navigation";
import { useRef } from "react";
import { useHubEvents } from "@/lib/events/event-provider";
import { type HubEvent } from "@/lib/events/hub-event";
import { fromDownload, fromJob, fromTask } from "./activity";
import { toastFailure, toastSuccess } from "./toasts";

interface Ended {
  id: string;
  status: string;
  title: string;
  href: string;
  message: string | null;
}

/** Says when something that ran in the background has ended, on whatever page one is by then. */
export function ActivityToasts() {
  const router = useRouter();
  const told = useRef(new Map<string, string>());

  useHubEvents((event) => {
    const ended = endedBy(event);
    if (!ended) return;
    // A reconnected stream repeats; so does each later change of an ended row.
    if (told.current.get(ended.id) === ended.status) return;
    told.current.set(ended.id, ended.status);
    const action = { label: "Open", onClick: () => router.push(ended.href) };
    if (ended.status === "failed") toastFailure(`${ended.title} failed`, { description: ended.message, action });
    else if (ended.status !== "running") toastSuccess(`${ended.title} is ready`, { action });
  });
  return null;
}

/** Null for what does not interest here. Running is told too: what runs again may end again. */
export function endedBy(event: HubEvent): Ended | null {
  const row = event.kind === "job" || event.kind === "download" || event.kind === "task" ? event.payload : null;
  if (!row || !["running", "completed", "ready", "failed"].includes(row.status)) return null;
  const { title, href, kind } =
    event.kind === "job"
      ? fromJob(event.payload)
      : event.kind === "download"
        ? fromDownload(event.payload)
        : fromTaskEvent(event);
  return {
    id: row.id,
    status: row.status,
    title: kind === "Task" ? title : `${kind} ${title}`,
    href,
    message: row.error_message,
  };
}

function fromTaskEvent(event: HubEvent) {
  if (event.kind !== "task") throw new Error(`${event.kind} is no task`);
  return fromTask(event.payload);
}
