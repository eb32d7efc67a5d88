"use client";

import { MessageSquareText, Pin, PinOff } from "lucide-react";
import dynamic from "next/dynamic";
import Link from "next/link";
import { useState } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { CopyButton } from "@/components/app/copy-button";
import { Section } from "@/components/app/page";
import { useServing } from "@/components/app/use-serving";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { formatCount } from "@/lib/format/numbers";
import { type ModelRow, type ServedName } from "../lib/model-rows";
import { StateBadge } from "./state-badge";

const LoadDialog = dynamic(() => import("./load-dialog").then((module) => module.LoadDialog), { ssr: false });

/** The names under which the inference server answers with the model, and what is in its memory of it. */
export function ServingSection({ row }: { row: ModelRow }) {
  return (
    <Section title="Serving" description="Names that clients of the inference server ask for.">
      {row.servedNames.length ? (
        <Card>
          <ul className="divide-y">
            {row.servedNames.map((name) => (
              <ServedRow key={name.name} served={name} />
            ))}
          </ul>
        </Card>
      ) : (
        <p className="rounded-xl border border-dashed px-4 py-5 text-sm text-muted-foreground">{whyNotServed(row)}</p>
      )}
    </Section>
  );
}

function ServedRow({ served: { name, served } }: { served: ServedName }) {
  const serving = useServing();
  const [isAsking, setAsking] = useState(false);
  const isPending = (verb: string) => serving.isPending && serving.variables.verb === verb;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-2.5">
      <span className="flex min-w-0 items-center gap-1">
        <code className="min-w-0 font-mono text-xs break-all">{name}</code>
        <CopyButton text={name} label={`Copy the name ${name}`} />
      </span>
      <StateBadge state={served.state} isPinned={served.pinned} />
      {served.loaded ? (
        <span className="flex gap-2 text-xs text-muted-foreground">
          <ByteSize bytes={served.weight_bytes} />
          {served.num_active ? <span>{formatCount(served.num_active, "request")} now</span> : null}
        </span>
      ) : null}
      <span className="ml-auto flex flex-wrap gap-2">
        <Button asChild size="sm" variant="outline">
          <Link href={`/inference?model=${encodeURIComponent(name)}`} aria-label={`Chat with ${name}`}>
            <MessageSquareText aria-hidden />
            Chat
          </Link>
        </Button>
        {served.pinned ? (
          <Button
            size="sm"
            variant="outline"
            aria-label={`Unpin ${name}`}
            pending={isPending("unpin")}
            onClick={() => serving.mutate({ name, verb: "unpin" })}
          >
            <PinOff aria-hidden />
            Unpin
          </Button>
        ) : served.loaded ? (
          <Button
            size="sm"
            variant="outline"
            aria-label={`Pin ${name}`}
            pending={isPending("pin")}
            onClick={() => serving.mutate({ name, verb: "pin" })}
          >
            <Pin aria-hidden />
            Pin
          </Button>
        ) : null}
        {served.loaded ? (
          <Button
            size="sm"
            variant="outline"
            aria-label={`Unload ${name}`}
            pending={isPending("unload")}
            onClick={() => serving.mutate({ name, verb: "unload" })}
          >
            Unload
          </Button>
        ) : (
          <Button
            size="sm"
            variant="outline"
            aria-label={`Load ${name}`}
            pending={served.state === "loading"}
            onClick={() => setAsking(true)}
          >
            Load
          </Button>
        )}
      </span>
      {isAsking ? (
        <LoadDialog name={name} maxContextTokens={served.max_context_tokens} onClose={() => setAsking(false)} />
      ) : null}
    </li>
  );
}

function whyNotServed({ model, state, numBytes }: ModelRow): string {
  if (state === "unknown") return "The inference server does not answer, so it is not known what it serves.";
  if (model.type === "base" && numBytes !== null) {
    return "The inference server does not know these weights yet. It looks for new ones by itself.";
  }
  if (model.type === "base") return `The weights of ${model.base_model} are not on this machine. Download them in Discover.`;
  if (model.latest_version === null) return "It has no version yet. Train one, and it is served.";
  return "No alias points to a version of it. Promote one below, and it is served under that alias.";
}
