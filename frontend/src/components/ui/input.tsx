import { type ComponentProps } from "react";
import { cn } from "./cn";

export const controlClasses =
  "w-full min-w-0 rounded-md border border-input bg-card px-2.5 text-sm shadow-xs transition-colors outline-none placeholder:text-muted-foreground focus-visible:border-ring focus-visible:outline-2 focus-visible:outline-offset-0 focus-visible:outline-ring disabled:opacity-50 aria-invalid:border-destructive";

export function Input({ className, type = "text", ...props }: ComponentProps<"input">) {
  return (
    <input
      data-slot="input"
      type={type}
      className={cn(
        controlClasses,
        "h-8 file:mr-2 file:border-0 file:bg-transparent file:text-sm file:font-medium file:text-foreground",
        type === "number" && "tabular-nums",
        className,
      )}
      {...props}
    />
  );
}
