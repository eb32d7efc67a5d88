"use client";

import { Braces, Code, FileText } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { MoreMenu } from "@/components/app/more-menu";
import { DropdownMenuItem, DropdownMenuSeparator } from "@/components/ui/dropdown-menu";
import { toMarkdown } from "@/lib/chat/conversation";
import { downloadFile } from "@/lib/storage/download-file";
import { useOfMessages } from "../hooks/use-thread";
import { type Session } from "../hooks/use-session";
import { fileNameOf } from "../lib/file-name";

const CodeDialog = dynamic(() => import("./code-dialog").then((module) => module.CodeDialog), { ssr: false });

/** What one takes away from here: the request as code, the conversation as a file. */
export function ActionsMenu({ session }: { session: Session }) {
  const [isCodeOpen, setIsCodeOpen] = useState(false);
  const isEmpty = useOfMessages(session.threads[0], (messages) => messages.length === 0);

  function exportAs(kind: "json" | "md") {
    const conversation = session.snapshot();
    const name = `${fileNameOf(conversation.title)}.${kind}`;
    if (kind === "md") downloadFile(name, toMarkdown(conversation), "text/markdown");
    else downloadFile(name, `${JSON.stringify(conversation, null, 2)}\n`, "application/json");
  }

  return (
    <>
      <MoreMenu variant="ghost">
        <DropdownMenuItem onSelect={() => setIsCodeOpen(true)}>
          <Code aria-hidden />
          View as curl or Python
        </DropdownMenuItem>
        <DropdownMenuSeparator />
        <DropdownMenuItem disabled={isEmpty} onSelect={() => exportAs("md")}>
          <FileText aria-hidden />
          Export as Markdown
        </DropdownMenuItem>
        <DropdownMenuItem disabled={isEmpty} onSelect={() => exportAs("json")}>
          <Braces aria-hidden />
          Export as JSON
        </DropdownMenuItem>
      </MoreMenu>
      {isCodeOpen ? <CodeDialog session={session} onClose={() => setIsCodeOpen(false)} /> : null}
    </>
  );
}
