import { LockKeyhole } from "lucide-react";
import { Badge } from "@/components/ui/badge";

/** Its terms are to be accepted on the hub first. */
export function GatedBadge() {
  return (
    <Badge variant="warning">
      <LockKeyhole aria-hidden />
      Gated
    </Badge>
  );
}
