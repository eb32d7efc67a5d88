"use client";

import { useQuery } from "@tanstack/react-query";
import { useURLParams } from "@/components/app/url-params";
import { localModels } from "../api";
import { readViewSettings, type ViewSettings, writeViewSettings } from "../lib/search-params";

/** The address's settings, and the models to choose from; undefined until these are known. */
export function useViewSettings() {
  const { params, change } = useURLParams();
  const models = useQuery(localModels);
  const settings = readViewSettings(params);
  return {
    models,
    settings,
    changeSettings: (wanted: Partial<ViewSettings>) => change(writeViewSettings(wanted), { replaces: true }),
  };
}
