"use client";

import { CircleAlert, CircleCheck, ShieldCheck } from "lucide-react";
import Link from "next/link";
import { type ReactNode } from "react";
import { ByteSize } from "@/components/app/byte-size";
import { CopyButton } from "@/components/app/copy-button";
import { RelativeTime } from "@/components/app/relative-time";
import { Button } from "@/components/ui/button";
import { formatInteger } from "@/lib/format/numbers";
import { type Dataset } from "../api";
import { formatName, sourceName } from "../lib/labels";
import { useVerify } from "../mutations";

/** What it is and where it came from, in a few lines. */
export function DatasetFacts({ dataset }: { dataset: Dataset }) {
  const { source } = dataset.report;
  return (
    <dl className="grid grid-cols-2 gap-x-6 gap-y-3 rounded-xl border bg-card p-4 text-sm shadow-xs sm:grid-cols-4">
      <Fact name="Rows">{formatInteger(dataset.num_rows)}</Fact>
      <Fact name="Size">
        <ByteSize bytes={dataset.num_bytes} />
      </Fact>
      <Fact name="Format">{formatName(dataset.format)}</Fact>
      <Fact name="Added">
        <RelativeTime at={dataset.created_at} />
      </Fact>
      {source ? (
        <Fact name="Source" wide>
          {source.dataset_id ? (
            <Link className="text-primary-text underline underline-offset-4" href={`/datasets/${source.dataset_id}`}>
              {sourceName(source)}
            </Link>
          ) : (
            sourceName(source)
          )}
        </Fact>
      ) : null}
      <Fact name="SHA-256" wide>
        <Checksum dataset={dataset} />
      </Fact>
    </dl>
  );
}

function Fact({ name, wide, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={wide ? "col-span-2 min-w-0" : "min-w-0"}>
      <dt className="text-xs text-muted-foreground">{name}</dt>
      <dd className="mt-0.5 break-words tabular-nums">{children}</dd>
    </div>
  );
}

function Checksum({ dataset: { id, sha256 } }: { dataset: Dataset }) {
  const verify = useVerify(id);
  return (
    <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
      <code title={sha256} className="font-mono text-xs">
        {sha256.slice(0, 16)}…
      </code>
      <CopyButton text={sha256} label="Copy SHA-256" />
      <Button variant="outline" size="sm" pending={verify.isPending} onClick={() => verify.mutate()}>
        {verify.isPending ? null : <ShieldCheck aria-hidden />}
        Verify
      </Button>
      <span role="status" className="text-xs">
        {verify.data ? <Verdict isIntact={verify.data.is_intact} isMissing={verify.data.is_missing} /> : null}
      </span>
    </div>
  );
}

function Verdict({ isIntact, isMissing }: { isIntact: boolean; isMissing: boolean }) {
  const Icon = isIntact ? CircleCheck : CircleAlert;
  const told = isIntact ? "The file is what was stored." : isMissing ? "The file is gone." : "The file was changed.";
  return (
    <span className={`inline-flex items-center gap-1 ${isIntact ? "text-success" : "text-destructive"}`}>
      <Icon aria-hidden className="size-3.5" />
      {told}
    </span>
  );
}
