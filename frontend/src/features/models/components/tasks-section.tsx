"use client";

import { useQuery } from "@tanstack/react-query";
import { Section } from "@/components/app/page";
import { Card } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { useFallbackInterval } from "@/lib/events/event-provider";
import { recentTasks } from "../api";
import { TaskRow } from "./task-row";

const MAX_SHOWN = 10;

interface TasksSectionProps {
  title: string;
  kinds: readonly Backend<"TaskPublic">["kind"][];
  /** Only those that work on this model. */
  subjectId?: string;
}

/** Work that goes on or is done, the newest first; nothing while there is none. */
export function TasksSection({ title, kinds, subjectId }: TasksSectionProps) {
  const { data } = useQuery({ ...recentTasks, refetchInterval: useFallbackInterval() });
  const tasks = (data?.items ?? [])
    .filter((task) => kinds.includes(task.kind) && (!subjectId || task.subject_id === subjectId))
    .slice(0, MAX_SHOWN);
  if (tasks.length === 0) return null;
  return (
    <Section title={title}>
      <Card>
        <ul className="divide-y">
          {tasks.map((task) => (
            <TaskRow key={task.id} task={task} />
          ))}
        </ul>
      </Card>
    </Section>
  );
}
