"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { CopyButton } from "@/components/app/copy-button";
import { servedModels } from "@/components/app/shell-queries";
import { Card, CardAction, CardContent, CardDescription, CardHeader, CardTitle } from "@/components/ui/card";
import { ScrollArea } from "@/components/ui/scroll-area";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { useServiceURL } from "@/lib/api/use-service-url";
import { toCurl, toPython } from "@/lib/chat/request-code";
import { useSettings } from "@/lib/storage/settings";
import { exampleModel } from "../lib/served";

type Language = "curl" | "python";

const OPTIONS = [
  { value: "curl" as const, label: "curl" },
  { value: "python" as const, label: "Python" },
];

/** Where other programs reach the models, ready to paste. */
export function EndpointCard() {
  const [language, setLanguage] = useState<Language>("curl");
  const baseURL = useServiceURL("inference");
  const { defaultModel, apiKey } = useSettings();
  const { data } = useQuery(servedModels);
  const model = exampleModel(data?.models ?? {}, defaultModel) ?? "your-model";
  const body = { model, messages: [{ role: "user" as const, content: "Hello" }] };
  const code = (language === "curl" ? toCurl : toPython)({ baseURL, body, needsKey: apiKey !== null });
  const url = `${baseURL}/v1`;
  return (
    <Card>
      <CardHeader>
        <CardTitle>Use it from anywhere</CardTitle>
        <CardDescription>The API speaks OpenAI: any client works with this address.</CardDescription>
        <CardAction>
          <ToggleGroup<Language> aria-label="Language" value={language} onValueChange={setLanguage} options={OPTIONS} />
        </CardAction>
      </CardHeader>
      <CardContent className="flex flex-col gap-3">
        <div className="flex min-w-0 items-center gap-1">
          <code className="min-w-0 text-sm break-all">{url}</code>
          <CopyButton text={url} label="Copy the address" />
        </div>
        <div className="relative min-w-0">
          <ScrollArea label="Code" className="rounded-lg border bg-muted/50">
            <pre className="p-3 pr-12 text-xs leading-5">
              <code>{code}</code>
            </pre>
          </ScrollArea>
          <CopyButton text={code} label="Copy the code" className="absolute top-2 right-2" />
        </div>
      </CardContent>
    </Card>
  );
}
