import { ABSENT, formatInteger } from "@/lib/format/numbers";
import { Table, TableBody, TableCell, TableHead, TableHeader, TableRow } from "../ui/table";
import { type ChartSeries } from "./series";
import { toRows } from "./transform";

interface ChartTableProps {
  label: string;
  series: readonly ChartSeries[];
  xName: string;
  formatX: (value: number) => string;
  formatY: (value: number) => string;
}

const MAX_ROWS = 200;

/** The chart's numbers, the newest first. */
export function ChartTable({ label, series, xName, formatX, formatY }: ChartTableProps) {
  const rows = toRows(series);
  const shown = rows.slice(-MAX_ROWS).reverse();
  return (
    <div className="flex flex-col gap-1">
      <Table label={label}>
        <TableHeader>
          <TableRow>
            <TableHead>{xName}</TableHead>
            {series.map(({ key, label: name }) => (
              <TableHead key={key}>{name}</TableHead>
            ))}
          </TableRow>
        </TableHeader>
        <TableBody>
          {shown.map(({ x, values }) => (
            <TableRow key={x}>
              <TableCell>{formatX(x)}</TableCell>
              {values.map((value, index) => (
                <TableCell key={series[index]?.key}>{value === null ? ABSENT : formatY(value)}</TableCell>
              ))}
            </TableRow>
          ))}
        </TableBody>
      </Table>
      {rows.length > shown.length && (
        <p className="text-xs text-muted-foreground">
          The newest {formatInteger(shown.length)} of {formatInteger(rows.length)} rows; the CSV has all.
        </p>
      )}
    </div>
  );
}
