import { cn } from "@/components/ui/cn";
import { otherKeys, type RowContent, textsOf } from "../lib/row-texts";

const SHOWN_CHARACTERS = 2_000;

/** A row as people read it: who says what, or the text alone. */
export function RowTexts({ row }: { row: RowContent }) {
  const texts = textsOf(row);
  const others = otherKeys(row);
  if (texts.length === 0) {
    return <pre className="font-mono text-xs break-words whitespace-pre-wrap">{cut(JSON.stringify(row, null, 2))}</pre>;
  }
  return (
    <dl className="grid grid-cols-[minmax(0,1fr)] gap-x-4 gap-y-1 text-sm sm:grid-cols-[6rem_minmax(0,1fr)]">
      {texts.map(({ path, label, text, isPlain }) => (
        <div key={path.join(".")} className="contents">
          <dt className="text-xs leading-5 text-muted-foreground">{label}</dt>
          <dd className={cn("leading-5 break-words whitespace-pre-wrap", !isPlain && "font-mono text-xs")}>{cut(text)}</dd>
        </div>
      ))}
      {others.length ? (
        <div className="contents">
          <dt className="text-xs leading-5 text-muted-foreground">also</dt>
          <dd className="font-mono text-xs leading-5 break-words text-muted-foreground">{others.join(", ")}</dd>
        </div>
      ) : null}
    </dl>
  );
}

function cut(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
