"use client";

import { Columns2, History, SlidersHorizontal, SquarePen } from "lucide-react";
import dynamic from "next/dynamic";
import { useState } from "react";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Tooltip } from "@/components/ui/tooltip";
import { type Models } from "../hooks/use-models";
import { type Session } from "../hooks/use-session";
import { countChanged } from "../lib/parameters";
import { ActionsMenu } from "./actions-menu";
import { ModelPicker } from "./model-picker";
import { ParallelSwitch } from "./parallel-switch";

const HistorySheet = dynamic(() => import("./history-sheet").then((module) => module.HistorySheet), { ssr: false });

interface WorkspaceHeaderProps {
  session: Session;
  models: Models;
  onToggleParameters: () => void;
}

export function WorkspaceHeader({ session, models, onToggleParameters }: WorkspaceHeaderProps) {
  const [isHistoryOpen, setIsHistoryOpen] = useState(false);
  const { draft } = session;
  const isComparing = draft.models.length > 1;
  const numChanged = countChanged(draft.parameters);
  return (
    <header className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b px-4 py-2.5">
      <h1 className="text-base font-semibold tracking-tight">Playground</h1>
      {isComparing ? (
        <ParallelSwitch />
      ) : (
        <ModelPicker value={draft.models[0] ?? null} onChoose={(name) => models.choose(0, name)} models={models} />
      )}
      <div className="ml-auto flex items-center gap-1">
        {isComparing ? null : (
          <Tooltip content="Compare with another model">
            <Button
              variant="ghost"
              size="icon"
              aria-label="Compare with another model"
              disabled={!models.isKnown}
              onClick={models.compare}
            >
              <Columns2 aria-hidden />
            </Button>
          </Tooltip>
        )}
        <Tooltip content="New conversation">
          <Button variant="ghost" size="icon" aria-label="New conversation" onClick={session.startNew}>
            <SquarePen aria-hidden />
          </Button>
        </Tooltip>
        <Tooltip content="History">
          <Button variant="ghost" size="icon" aria-label="History" onClick={() => setIsHistoryOpen(true)}>
            <History aria-hidden />
          </Button>
        </Tooltip>
        <ActionsMenu session={session} />
        <Tooltip content="Parameters">
          <Button
            variant="ghost"
            size="icon"
            aria-label={numChanged ? `Parameters, ${numChanged} changed` : "Parameters"}
            className="relative"
            onClick={onToggleParameters}
          >
            <SlidersHorizontal aria-hidden />
            {numChanged ? (
              <Badge aria-hidden variant="primary" className="absolute -top-1 -right-1 h-4 px-1">
                {numChanged}
              </Badge>
            ) : null}
          </Button>
        </Tooltip>
      </div>
      {isHistoryOpen ? <HistorySheet session={session} onClose={() => setIsHistoryOpen(false)} /> : null}
    </header>
  );
}
