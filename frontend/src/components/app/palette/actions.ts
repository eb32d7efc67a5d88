/** What the palette offers, as data. */
import {
  Boxes,
  Dumbbell,
  FileUp,
  FileText,
  GitCompare,
  Keyboard,
  type LucideIcon,
  Monitor,
  Moon,
  PanelLeft,
  Plus,
  Sun,
} from "lucide-react";
import { PAGES } from "../navigation";

export interface PaletteContext {
  navigate: (href: string) => void;
  setTheme: (theme: "light" | "dark" | "system") => void;
  toggleSidebar: () => void;
  openShortcuts: () => void;
}

export interface PaletteAction {
  id: string;
  title: string;
  group: string;
  icon: LucideIcon;
  /** Small text at the right: keys, or what kind of thing it is. */
  hint?: string;
  keywords: readonly string[];
  run: (context: PaletteContext) => void;
}

interface ActionFacts {
  icon: LucideIcon;
  keywords?: string;
  hint?: string;
}

function action(group: string, title: string, facts: ActionFacts, run: PaletteAction["run"]): PaletteAction {
  const { icon, keywords = "", hint } = facts;
  return {
    id: `${group}/${title}/${hint ?? ""}`,
    title,
    group,
    icon,
    hint,
    keywords: keywords.split(" ").filter(Boolean),
    run,
  };
}

const goTo = (href: string) => (context: PaletteContext) => context.navigate(href);

const PAGE_ACTIONS = PAGES.map((page) =>
  action(
    "Go to",
    page.title,
    { icon: page.icon, keywords: page.keywords, hint: `G ${page.jump.toUpperCase()}` },
    goTo(page.href),
  ),
);

export const STATIC_ACTIONS: readonly PaletteAction[] = [
  ...PAGE_ACTIONS,
  action("Do", "New training job", { icon: Plus, keywords: "train fine-tune lora start" }, goTo("/training/new")),
  action("Do", "Compare training runs", { icon: GitCompare, keywords: "diff loss" }, goTo("/training/compare")),
  action("Do", "Upload a dataset", { icon: FileUp, keywords: "jsonl csv import" }, goTo("/datasets")),
  action("Look", "Light theme", { icon: Sun, keywords: "appearance" }, (context) => context.setTheme("light")),
  action("Look", "Dark theme", { icon: Moon, keywords: "appearance" }, (context) => context.setTheme("dark")),
  action("Look", "System theme", { icon: Monitor, keywords: "appearance" }, (context) => context.setTheme("system")),
  action("Look", "Fold or unfold the sidebar", { icon: PanelLeft, hint: "[" }, (context) => context.toggleSidebar()),
  action("Help", "Keyboard shortcuts", { icon: Keyboard, keywords: "keys help", hint: "?" }, (context) =>
    context.openShortcuts(),
  ),
];

export interface Named {
  id: string;
  name: string;
}

/** Things of the hub that can be opened by name. */
export function openActions(found: { models: Named[]; datasets: Named[]; jobs: Named[] }): PaletteAction[] {
  const open = (kind: string, icon: LucideIcon, path: string, items: Named[]) =>
    items.map(({ id, name }) => ({
      ...action("Open", name, { icon, hint: kind, keywords: `${kind} open` }, goTo(`${path}/${id}`)),
      id: `${path}/${id}`,
    }));
  return [
    ...open("Model", Boxes, "/models", found.models),
    ...open("Dataset", FileText, "/datasets", found.datasets),
    ...open("Job", Dumbbell, "/training", found.jobs),
  ];
}
