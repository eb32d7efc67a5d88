"use client";

import { type ReactNode } from "react";
import { TimeSeriesChart, type TimeSeriesChartProps } from "@/components/charts/time-series-chart";
import { Card, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";

interface ChartCardProps extends Pick<TimeSeriesChartProps, "series" | "marks" | "formatY" | "emptyText"> {
  title: string;
  description?: string;
}

/** One chart of this page; they share their time axis and crosshair. */
export function ChartCard({ title, description, ...chart }: ChartCardProps) {
  return (
    <Card className="lg:only:col-span-2">
      <CardHeader>
        <CardTitle>{title}</CardTitle>
        {description ? <CardDescription>{description}</CardDescription> : null}
      </CardHeader>
      <CardContent>
        <TimeSeriesChart label={title} xKind="time" syncKey="metrics" height={180} {...chart} />
      </CardContent>
    </Card>
  );
}

export function ChartGrid({ children }: { children: ReactNode }) {
  return <div className="grid min-w-0 gap-3 lg:grid-cols-2">{children}</div>;
}
