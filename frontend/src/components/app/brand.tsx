import Link from "next/link";

export function Brand({ onFollow }: { onFollow?: () => void }) {
  return (
    <Link
      href="/"
      onClick={onFollow}
      className="flex h-8 min-w-0 items-center gap-2.5 rounded-md px-1 font-semibold tracking-tight whitespace-nowrap narrow:justify-center"
    >
      <svg aria-hidden viewBox="0 0 32 32" className="size-6 shrink-0">
        <rect width="32" height="32" rx="8" className="fill-primary" />
        <path
          d="M9 22V11.5l7 6.5 7-6.5V22"
          fill="none"
          strokeWidth="3"
          strokeLinecap="round"
          strokeLinejoin="round"
          className="stroke-primary-foreground"
        />
      </svg>
      <span className="narrow:sr-only">MLX Model Hub</span>
    </Link>
  );
}
