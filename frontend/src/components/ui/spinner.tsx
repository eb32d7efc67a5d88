import { LoaderCircle } from "lucide-react";
import { cn } from "./cn";

/** Decoration beside a text that says what goes on. */
export function Spinner({ className }: { className?: string }) {
  return <LoaderCircle aria-hidden className={cn("size-4 animate-spin motion-reduce:animate-none", className)} />;
}
