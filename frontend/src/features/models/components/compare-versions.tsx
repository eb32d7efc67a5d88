"use client";

import { Trophy, X } from "lucide-react";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { Card, CardAction, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { cn } from "@/components/ui/cn";
import { Label } from "@/components/ui/label";
import { Switch } from "@/components/ui/switch";
import { Table, TableBody, TableCell, TableHead, TableHeader, TableRow } from "@/components/ui/table";
import { type ComparedRow, compareConfigs, compareMetrics, compareOrigins } from "../lib/compare";
import { type Version } from "../lib/model-rows";

interface CompareVersionsProps {
  versions: readonly [Version, Version];
  onClose: () => void;
}

/** Two versions side by side: results, settings, origins. */
export function CompareVersions({ versions, onClose }: CompareVersionsProps) {
  const [showsAll, setShowsAll] = useState(false);
  const groups = [
    { title: "Result", rows: compareMetrics(versions) },
    { title: "Configuration", rows: compareConfigs(versions) },
    { title: "Origin", rows: compareOrigins(versions) },
  ];
  const [first, second] = versions;
  return (
    <Card aria-label={`Version ${first.version} beside version ${second.version}`}>
      <CardHeader>
        <CardTitle>
          v{first.version} and v{second.version}
        </CardTitle>
        <CardAction>
          <Switch id="shows-all" checked={showsAll} onCheckedChange={setShowsAll} />
          <Label htmlFor="shows-all" className="text-xs">
            Also what is the same
          </Label>
          <Button variant="ghost" size="icon-sm" aria-label="Close the comparison" onClick={onClose}>
            <X aria-hidden />
          </Button>
        </CardAction>
      </CardHeader>
      <CardContent className="flex flex-col gap-4">
        {groups.map(({ title, rows }) => (
          <CompareTable
            key={title}
            title={title}
            names={versions.map(({ version }) => `v${version}`)}
            rows={showsAll ? rows : rows.filter((row) => row.isDifferent)}
          />
        ))}
      </CardContent>
    </Card>
  );
}

interface CompareTableProps {
  title: string;
  names: readonly string[];
  rows: readonly ComparedRow[];
}

function CompareTable({ title, names, rows }: CompareTableProps) {
  return (
    <div className="flex flex-col gap-1.5">
      <h3 className="text-xs font-medium text-muted-foreground">{title}</h3>
      {rows.length ? (
        <Table label={`${title} of both`}>
          <TableHeader>
            <tr>
              <TableHead>Name</TableHead>
              {names.map((name) => (
                <TableHead key={name} className="text-right">
                  {name}
                </TableHead>
              ))}
            </tr>
          </TableHeader>
          <TableBody>
            {rows.map((row) => (
              <TableRow key={row.name}>
                <TableCell className="text-muted-foreground">{row.name}</TableCell>
                {row.values.map((value, index) => (
                  <TableCell key={index} className={cn("text-right tabular-nums", row.isDifferent && "font-medium")}>
                    <span className="inline-flex items-center justify-end gap-1.5 break-all">
                      {row.better === index ? (
                        <>
                          <Trophy aria-hidden className="size-3.5 text-success" />
                          <span className="sr-only">better: </span>
                        </>
                      ) : null}
                      {value}
                    </span>
                  </TableCell>
                ))}
              </TableRow>
            ))}
          </TableBody>
        </Table>
      ) : (
        <p className="text-xs text-muted-foreground">The same in both.</p>
      )}
    </div>
  );
}
