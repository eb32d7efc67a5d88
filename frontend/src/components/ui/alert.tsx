import { cva, type VariantProps } from "class-variance-authority";
import { type ComponentProps } from "react";
import { cn } from "./cn";

const alertVariants = cva(
  "grid grid-cols-[auto_1fr] items-start gap-x-2.5 gap-y-0.5 rounded-lg border px-3.5 py-3 text-sm [&>svg]:mt-0.5 [&>svg]:size-4",
  {
    variants: {
      variant: {
        neutral: "bg-card",
        info: "border-info/25 bg-info-soft [&>svg]:text-info",
        success: "border-success/25 bg-success-soft [&>svg]:text-success",
        warning: "border-warning/25 bg-warning-soft [&>svg]:text-warning",
        destructive: "border-destructive/25 bg-destructive-soft [&>svg]:text-destructive",
      },
    },
    defaultVariants: { variant: "neutral" },
  },
);

/** An icon first, then AlertTitle and AlertDescription. Give `role="alert"` only to what appears on its own. */
export function Alert({ className, variant, ...props }: ComponentProps<"div"> & VariantProps<typeof alertVariants>) {
  return <div data-slot="alert" className={cn(alertVariants({ variant }), className)} {...props} />;
}

export function AlertTitle({ className, ...props }: ComponentProps<"div">) {
  return <div data-slot="alert-title" className={cn("col-start-2 font-medium", className)} {...props} />;
}

export function AlertDescription({ className, ...props }: ComponentProps<"div">) {
  return (
    <div
      data-slot="alert-description"
      className={cn("col-start-2 text-sm break-words text-foreground/85", className)}
      {...props}
    />
  );
}
