import { cn } from "@/components/ui/cn";
import { type TokenRun, type TokenUse } from "../lib/token-runs";

/** Learned is coloured and underlined, cut is struck through: either can be told without colour. */
const LOOKS: Record<TokenUse, string> = {
  learned: "bg-success-soft text-success underline decoration-2 underline-offset-4",
  context: "text-foreground",
  cut: "text-muted-foreground line-through",
};

const WORDS: Record<TokenUse, string> = { learned: "Learned", context: "Read, not learned", cut: "Cut off" };

export function TokenLegend() {
  return (
    <dl aria-label="Legend" className="flex flex-wrap gap-x-5 gap-y-1 text-xs">
      {(Object.keys(WORDS) as TokenUse[]).map((use) => (
        <div key={use} className="flex items-center gap-1.5">
          <dt className={cn("rounded-[2px] px-1 font-mono", LOOKS[use])}>token</dt>
          <dd className="text-muted-foreground">{WORDS[use]}</dd>
        </div>
      ))}
    </dl>
  );
}

/** All tokens in a line of text, each in a frame of its own; the id shows on hover. */
export function TokenText({ runs, ids }: { runs: readonly TokenRun[]; ids: readonly number[] }) {
  return (
    <p className="font-mono text-xs leading-6 break-words whitespace-pre-wrap">
      {runs.map((run) => (
        <span key={run.start} data-use={run.use}>
          <span className="sr-only">[{WORDS[run.use]}:] </span>
          {run.pieces.map((piece, index) => (
            <span
              key={index}
              title={`Token ${run.start + index + 1}, id ${ids[run.start + index]}`}
              className={cn("border-r border-border", LOOKS[run.use])}
            >
              {visible(piece)}
            </span>
          ))}
        </span>
      ))}
    </p>
  );
}

/** A line break that is a token would show as nothing. */
function visible(piece: string): string {
  return piece.replaceAll("\n", "↵\n");
}
