"use client";

import { CopyButton } from "@/components/app/copy-button";
import { Dialog, DialogBody, DialogContent, DialogDescription, DialogHeader, DialogTitle } from "@/components/ui/dialog";
import { ScrollArea } from "@/components/ui/scroll-area";
import { Tabs, TabsContent, TabsList, TabsTrigger } from "@/components/ui/tabs";
import { serviceURL } from "@/lib/api/endpoints";
import { type ChatMessage } from "@/lib/chat/conversation";
import { toCurl, toPython } from "@/lib/chat/request-code";
import { useSettings } from "@/lib/storage/settings";
import { toRequestBody } from "../hooks/use-chat";
import { type Session } from "../hooks/use-session";
import { before } from "../lib/transcript";

/** The last request, or the one that a first question would make. */
export function CodeDialog({ session, onClose }: { session: Session; onClose: () => void }) {
  const { apiKey } = useSettings();
  const body = toRequestBody(session.draft, 0, lastAsked(session.threads[0].getMessages()));
  const options = { baseURL: serviceURL("inference"), body, needsKey: Boolean(apiKey) };
  const forms = [
    { id: "curl", name: "curl", code: toCurl(options) },
    { id: "python", name: "Python", code: toPython(options) },
  ];
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()}>
      <DialogContent className="max-w-2xl">
        <DialogHeader>
          <DialogTitle>This request as code</DialogTitle>
          <DialogDescription>
            With the model, the messages and the parameters as they are now. Python needs <code>pip install openai</code>.
          </DialogDescription>
        </DialogHeader>
        <DialogBody>
          <Tabs defaultValue="curl">
            <TabsList aria-label="Language">
              {forms.map(({ id, name }) => (
                <TabsTrigger key={id} value={id}>
                  {name}
                </TabsTrigger>
              ))}
            </TabsList>
            {forms.map(({ id, name, code }) => (
              <TabsContent key={id} value={id} className="flex flex-col gap-2">
                <ScrollArea label={`Request in ${name}`} className="max-h-96 rounded-lg border bg-muted/50 p-3">
                  <pre className="font-mono text-xs leading-5">{code}</pre>
                </ScrollArea>
                <CopyButton text={code} label={`Copy ${name}`} withText className="self-end" />
              </TabsContent>
            ))}
          </Tabs>
        </DialogBody>
      </DialogContent>
    </Dialog>
  );
}

function lastAsked(messages: readonly ChatMessage[]): ChatMessage[] {
  const last = messages.at(-1);
  const asked = last?.role === "assistant" ? before(messages, last.id) : [...messages];
  if (asked.length) return asked;
  return [{ id: "example", role: "user", content: "Hello!", createdAt: "" }];
}
