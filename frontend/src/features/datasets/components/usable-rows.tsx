import { CircleAlert, CircleCheck } from "lucide-react";
import { Badge } from "@/components/ui/badge";
import { formatCount } from "@/lib/format/numbers";
import { type Dataset } from "../api";

/** Whether all rows can be trained on. */
export function UsableRows({ dataset: { num_rows, report } }: { dataset: Dataset }) {
  const numLeftOut = num_rows - (report.num_usable_rows ?? 0);
  return numLeftOut ? (
    <Badge variant="warning">
      <CircleAlert aria-hidden />
      {formatCount(numLeftOut, "unusable row")}
    </Badge>
  ) : (
    <Badge variant="success">
      <CircleCheck aria-hidden />
      All rows usable
    </Badge>
  );
}
