import { RelativeTime } from "@/components/app/relative-time";
import { Badge } from "@/components/ui/badge";
import { Card, CardContent, CardHeader, CardTitle } from "@/components/ui/card";
import { type Backend } from "@/lib/api/client";
import { ABSENT, formatInteger, formatParameters } from "@/lib/format/numbers";

const MAX_TAGS = 12;

/** What the hub says of a model, in short. */
export function FactsCard({ model }: { model: Backend<"HubModelDetails"> }) {
  const facts = [
    ["Parameters", formatParameters(model.num_parameters)],
    ["Quantisation", model.quantization ?? "none"],
    ["Architecture", model.architecture ?? ABSENT],
    ["Task", model.task_type ?? ABSENT],
    ["License", model.license ?? ABSENT],
    ["Downloads", formatInteger(model.downloads)],
    ["Likes", formatInteger(model.likes)],
    ["Updated", <RelativeTime key="updated" at={model.modified_at} />],
    [
      "Commit",
      <code key="commit" title={model.commit} className="font-mono text-xs">
        {model.commit.slice(0, 10)}
      </code>,
    ],
  ] as const;
  return (
    <Card>
      <CardHeader>
        <CardTitle>About</CardTitle>
      </CardHeader>
      <CardContent className="flex flex-col gap-3">
        <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1.5 text-sm">
          {facts.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-muted-foreground">{name}</dt>
              <dd className="min-w-0 text-right break-words">{value}</dd>
            </div>
          ))}
        </dl>
        {model.tags.length ? (
          <ul aria-label="Tags" className="flex flex-wrap gap-1">
            {model.tags.slice(0, MAX_TAGS).map((tag) => (
              <li key={tag} className="min-w-0">
                <Badge variant="outline" className="max-w-full">
                  <span className="truncate">{tag}</span>
                </Badge>
              </li>
            ))}
            {model.tags.length > MAX_TAGS ? (
              <li className="text-xs text-muted-foreground">and {model.tags.length - MAX_TAGS} more</li>
            ) : null}
          </ul>
        ) : null}
      </CardContent>
    </Card>
  );
}
