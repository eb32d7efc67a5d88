"use client";

import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo } from "react";
import { servedModels } from "@/components/app/shell-queries";
import { useServing } from "@/components/app/use-serving";
import { useSettings } from "@/lib/storage/settings";
import { modelAbilities } from "../api";
import { counterpartOf, defaultModelOf, type ServedModels } from "../lib/model-tree";
import { type Session } from "./use-session";

const NONE: ServedModels = {};

/** The models that are served, and which of them the session talks to. */
export function useModels({ draft, change, writeURL, threads }: Session) {
  const { data, error, refetch, isFetching } = useQuery(servedModels);
  const { data: listed } = useQuery(modelAbilities);
  const { defaultModel } = useSettings();
  const serving = useServing();
  const served = data?.models ?? NONE;

  // The first answer of the server decides what a chat without a model talks to.
  const isUnset = draft.models[0] === null && Object.keys(served).length > 0;
  useEffect(() => {
    if (isUnset) change({ models: [defaultModelOf(served, defaultModel), ...draft.models.slice(1)] });
  }, [isUnset, change, served, defaultModel, draft.models]);

  const { mutate } = serving;
  const choose = useCallback(
    (index: number, name: string) => {
      change({ models: draft.models.map((old, place) => (place === index ? name : old)) });
      writeURL();
      if (!served[name]?.loaded) mutate({ name, verb: "load" });
    },
    [change, writeURL, draft.models, served, mutate],
  );

  /** A second column that goes on from where the first is. */
  const compare = useCallback(() => {
    const first = draft.models[0] ?? null;
    threads[1].setMessages(threads[0].getMessages());
    change({ models: [first, counterpartOf(served, first)] });
    writeURL();
  }, [change, writeURL, draft.models, served, threads]);

  const closeColumn = useCallback(
    (index: number) => {
      if (index === 0) threads[0].setMessages(threads[1].getMessages());
      threads[1].setMessages([]);
      change({ models: [draft.models[1 - index] ?? null] });
      writeURL();
    },
    [change, writeURL, draft.models, threads],
  );

  const abilities = useMemo(() => new Map(listed?.data.map((model) => [model.id, model])), [listed]);
  return {
    served,
    isKnown: data !== undefined,
    error: data ? null : error,
    retry: () => void refetch(),
    isFetching,
    abilities,
    loading: serving.isPending ? serving.variables.name : null,
    choose,
    compare,
    closeColumn,
  };
}

export type Models = ReturnType<typeof useModels>;
