import { type ComponentProps } from "react";
import { cn } from "./cn";
import { ScrollArea } from "./scroll-area";

/** Scrolls inside its own frame when it is wider than the page. `label` names it. */
export function Table({ label, className, ...props }: ComponentProps<"table"> & { label: string }) {
  return (
    <ScrollArea label={label} className="relative w-full rounded-xl border bg-card shadow-xs">
      <table data-slot="table" aria-label={label} className={cn("w-full border-collapse text-sm", className)} {...props} />
    </ScrollArea>
  );
}

export function TableHeader({ className, ...props }: ComponentProps<"thead">) {
  return <thead className={cn("bg-muted/50", className)} {...props} />;
}

export function TableBody(props: ComponentProps<"tbody">) {
  return <tbody {...props} />;
}

export function TableRow({ className, ...props }: ComponentProps<"tr">) {
  return <tr data-slot="table-row" className={cn("border-b last:border-b-0", className)} {...props} />;
}

export function TableHead({ className, ...props }: ComponentProps<"th">) {
  return (
    <th
      scope="col"
      className={cn(
        "h-8 border-b px-3 text-left text-xs font-medium whitespace-nowrap text-muted-foreground first:pl-4 last:pr-4",
        className,
      )}
      {...props}
    />
  );
}

export function TableCell({ className, ...props }: ComponentProps<"td">) {
  return <td className={cn("h-10 px-3 py-1.5 align-middle first:pl-4 last:pr-4", className)} {...props} />;
}
