"use client";

import { RelativeTime } from "@/components/app/relative-time";
import { CopyButton } from "@/components/app/copy-button";
import { Badge } from "@/components/ui/badge";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { ABSENT, formatInteger } from "@/lib/format/numbers";
import { type JobDetails } from "../lib/job-state";
import { formatSetting, isChanged, isSettingName, MAIN_SETTINGS, MORE_SETTINGS, SETTINGS } from "../lib/settings";
import { Facts } from "./facts";

const GROUPS = [{ title: "Main settings", names: MAIN_SETTINGS }, ...MORE_SETTINGS];

/** With what the job was started; what is not the default is marked. */
export function JobSettings({ job }: { job: JobDetails }) {
  const unknown = Object.keys(job.config).filter((name) => !isSettingName(name));
  return (
    <div className="flex flex-col gap-3">
      <div className="flex justify-end">
        <CopyButton withText label="Copy as JSON" text={() => JSON.stringify(job.config, null, 2)} />
      </div>
      <div className="grid grid-cols-1 items-start gap-3 md:grid-cols-2">
        {GROUPS.map(({ title, names }) => (
          <SettingsCard key={title} title={title} names={names} config={job.config} />
        ))}
        {unknown.length ? <SettingsCard title="Others" names={unknown} config={job.config} /> : null}
        <JobFacts job={job} />
      </div>
    </div>
  );
}

interface SettingsCardProps {
  title: string;
  names: readonly string[];
  config: JobDetails["config"];
}

function SettingsCard({ title, names, config }: SettingsCardProps) {
  return (
    <Card>
      <CardHeader>
        <CardTitle>{title}</CardTitle>
      </CardHeader>
      <CardContent>
        <Facts
          items={names.map((name) => [
            isSettingName(name) ? SETTINGS[name].label : name,
            <span key={name} className="inline-flex flex-wrap items-center justify-end gap-1.5">
              {isChanged(name, config[name]) ? <Badge variant="primary">changed</Badge> : null}
              {formatSetting(name, config[name])}
            </span>,
          ])}
        />
      </CardContent>
    </Card>
  );
}

function JobFacts({ job }: { job: JobDetails }) {
  return (
    <Card>
      <CardHeader>
        <CardTitle>Job</CardTitle>
      </CardHeader>
      <CardContent>
        <Facts
          items={[
            ["Id", <code key="id">{job.id}</code>],
            ["Adapter", job.adapter_name],
            ["Attempt", formatInteger(job.attempt + 1)],
            ["Machine", job.machine_id ?? ABSENT],
            ["MLflow run", job.mlflow_run_id ?? ABSENT],
            ["Created", <RelativeTime key="created" at={job.created_at} />],
            ["Started", <RelativeTime key="started" at={job.started_at} />],
            ["Ended", <RelativeTime key="ended" at={job.completed_at} />],
          ]}
        />
      </CardContent>
    </Card>
  );
}
