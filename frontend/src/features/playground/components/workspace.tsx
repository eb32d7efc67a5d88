"use client";

import { useEffect, useState } from "react";
import { toKeyPress } from "@/components/app/shortcuts";
import { ErrorState } from "@/components/app/error-state";
import { cn } from "@/components/ui/cn";
import { Sheet, SheetContent, SheetHeader, SheetTitle } from "@/components/ui/sheet";
import { ToggleGroup } from "@/components/ui/toggle-group";
import { useChat } from "../hooks/use-chat";
import { useModels } from "../hooks/use-models";
import { preferences, usePreferences } from "../hooks/preferences";
import { useSession } from "../hooks/use-session";
import { Composer } from "./composer";
import { NoModels } from "./no-models";
import { ParameterPanel } from "./parameter-panel";
import { ThreadColumn } from "./thread-column";
import { WorkspaceHeader } from "./workspace-header";

const WIDE = "(min-width: 64rem)";

export function Workspace() {
  const session = useSession();
  const models = useModels(session);
  const chat = useChat(session);
  const { showsParameters } = usePreferences();
  const [isSheetOpen, setIsSheetOpen] = useState(false);
  const [shown, setShown] = useState<"0" | "1">("0");
  const { draft, change } = session;
  const isComparing = draft.models.length > 1;

  useEffect(() => {
    function onKeyDown(event: KeyboardEvent) {
      if (event.key !== "Escape" || event.defaultPrevented || event.isComposing || toKeyPress(event).isOverlayOpen) return;
      chat.stop();
    }
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [chat]);

  function toggleParameters() {
    if (window.matchMedia(WIDE).matches) preferences.set({ showsParameters: !showsParameters });
    else setIsSheetOpen(true);
  }

  const panel = <ParameterPanel draft={draft} change={change} models={models} />;
  return (
    <div className="flex h-full min-h-0 min-w-0">
      <div className="flex min-w-0 flex-1 flex-col">
        <WorkspaceHeader session={session} models={models} onToggleParameters={toggleParameters} />
        {models.error ? (
          <div className="border-b p-4">
            <ErrorState error={models.error} what="the models" onRetry={models.retry} retrying={models.isFetching} />
          </div>
        ) : null}
        {models.isKnown && Object.keys(models.served).length === 0 ? (
          <NoModels />
        ) : (
          <>
            {isComparing ? (
              <div className="border-b px-4 py-2 md:hidden">
                <ToggleGroup
                  aria-label="Shown model"
                  value={shown}
                  onValueChange={setShown}
                  options={[
                    { value: "0", label: "First model" },
                    { value: "1", label: "Second model" },
                  ]}
                />
              </div>
            ) : null}
            <div className={cn("grid min-h-0 flex-1 grid-rows-1", isComparing && "md:grid-cols-2 md:divide-x")}>
              {draft.models.map((_, index) => (
                <ThreadColumn
                  key={index}
                  index={index}
                  session={session}
                  models={models}
                  chat={chat}
                  className={isComparing && shown !== String(index) ? "hidden md:flex" : undefined}
                />
              ))}
            </div>
            <Composer key={draft.id} session={session} models={models} chat={chat} />
          </>
        )}
      </div>
      {showsParameters ? (
        <aside aria-label="Parameters" className="hidden w-80 shrink-0 overflow-y-auto border-l lg:block">
          {panel}
        </aside>
      ) : null}
      <Sheet open={isSheetOpen} onOpenChange={setIsSheetOpen}>
        <SheetContent aria-describedby={undefined}>
          <SheetHeader>
            <SheetTitle>Parameters</SheetTitle>
          </SheetHeader>
          {panel}
        </SheetContent>
      </Sheet>
    </div>
  );
}
