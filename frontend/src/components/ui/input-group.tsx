import { Search } from "lucide-react";
import { type ComponentProps, type ReactNode } from "react";
import { cn } from "./cn";
import { Input } from "./input";

interface InputGroupProps extends ComponentProps<"input"> {
  /** Before the text, decoration. */
  start?: ReactNode;
  /** After the text: a unit, a Kbd, a button. */
  end?: ReactNode;
}

/** An input with something inside its frame. */
export function InputGroup({ start, end, className, ...props }: InputGroupProps) {
  return (
    <div data-slot="input-group" className={cn("relative flex items-center", className)}>
      {start ? (
        <span aria-hidden className="pointer-events-none absolute left-2.5 flex text-muted-foreground [&>svg]:size-4">
          {start}
        </span>
      ) : null}
      <Input className={cn(start && "pl-8", end && "pr-12")} {...props} />
      {end ? <span className="absolute right-1.5 flex items-center text-xs text-muted-foreground">{end}</span> : null}
    </div>
  );
}

/** The page's search field: `/` focuses the first one on a page. */
export function SearchInput({ className, ...props }: Omit<InputGroupProps, "type" | "start">) {
  return <InputGroup type="search" data-search start={<Search />} className={className} {...props} />;
}
