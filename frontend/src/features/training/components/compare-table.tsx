import Link from "next/link";
import { cn } from "@/components/ui/cn";
import { Table, TableBody, TableCell, TableHead, TableHeader, TableRow } from "@/components/ui/table";
import { type CompareRow, type Run } from "../lib/compare";
import { RunDot } from "./run-dot";

interface CompareTableProps {
  label: string;
  names: readonly string[];
  runs: readonly Run[];
  rows: readonly CompareRow[];
}

/** A column for each run; rows that differ stand out. */
export function CompareTable({ label, names, runs, rows }: CompareTableProps) {
  return (
    <Table label={label}>
      <TableHeader>
        <tr>
          <TableHead>
            <span className="sr-only">What</span>
          </TableHead>
          {runs.map(({ job }, index) => (
            <TableHead key={job.id}>
              <Link href={`/training/${job.id}`} className="inline-flex min-h-6 items-center gap-1.5 hover:underline">
                <RunDot index={index} />
                <span className="max-w-48 truncate">{names[index]}</span>
              </Link>
            </TableHead>
          ))}
        </tr>
      </TableHeader>
      <TableBody>
        {rows.map((row) => (
          <TableRow key={row.key}>
            <th
              scope="row"
              className="h-10 px-3 py-1.5 pl-4 text-left text-xs font-medium whitespace-nowrap text-muted-foreground"
            >
              {row.label}
            </th>
            {row.values.map((value, index) => (
              <TableCell key={index} className={cn("whitespace-nowrap tabular-nums", row.differs && "font-medium")}>
                {value}
              </TableCell>
            ))}
          </TableRow>
        ))}
      </TableBody>
    </Table>
  );
}
