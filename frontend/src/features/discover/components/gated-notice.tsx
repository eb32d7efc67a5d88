import { ExternalLink, LockKeyhole, RotateCw } from "lucide-react";
import { Alert, AlertDescription, AlertTitle } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import { type Backend } from "@/lib/api/client";

interface GatedNoticeProps {
  model: Backend<"HubModelDetails">;
  onCheck: () => void;
  checking: boolean;
}

/** What to do about a model whose terms are to be accepted first. */
export function GatedNotice({ model, onCheck, checking }: GatedNoticeProps) {
  return (
    <Alert variant="warning">
      <LockKeyhole aria-hidden />
      <AlertTitle>This model is gated</AlertTitle>
      <AlertDescription className="flex flex-col gap-3">
        <p>Its owner shares it with those who accept its terms. Do this once:</p>
        <ol className="flex list-decimal flex-col gap-1.5 pl-5">
          <li>
            Accept the terms on <OutLink href={model.url}>its page on the hub</OutLink>.
          </li>
          <li>
            Make a token with read access in <OutLink href={model.tokens_url}>your settings there</OutLink>.
          </li>
          <li>
            Set it as <code className="font-mono text-xs">HF_TOKEN</code> in the file{" "}
            <code className="font-mono text-xs">.env</code>, and start the backend and its worker again.
          </li>
        </ol>
        <Button variant="outline" size="sm" className="self-start" onClick={onCheck} pending={checking}>
          {checking ? null : <RotateCw aria-hidden />}
          Check again
        </Button>
      </AlertDescription>
    </Alert>
  );
}

function OutLink({ href, children }: { href: string; children: string }) {
  return (
    <a
      href={href}
      target="_blank"
      rel="noreferrer noopener"
      className="inline-flex items-center gap-1 font-medium underline underline-offset-4"
    >
      {children}
      <ExternalLink aria-hidden className="size-3" />
      <span className="sr-only">(opens a new tab)</span>
    </a>
  );
}
