/** The pages of the dashboard: the sidebar, the breadcrumb, the palette and the `g` jumps all read this list. */
import {
  ArchiveRestore,
  Boxes,
  ChartLine,
  Compass,
  Dumbbell,
  FileText,
  LayoutDashboard,
  type LucideIcon,
  MessageSquareText,
  Settings,
} from "lucide-react";

export interface PageEntry {
  title: string;
  href: string;
  icon: LucideIcon;
  /** The key after `g`. */
  jump: string;
  /** Other words that the palette finds it by. */
  keywords: string;
}

export interface PageGroup {
  title: string;
  pages: readonly PageEntry[];
}

export const PAGE_GROUPS: readonly PageGroup[] = [
  {
    title: "Overview",
    pages: [{ title: "Dashboard", href: "/", icon: LayoutDashboard, jump: "d", keywords: "home start overview" }],
  },
  {
    title: "Models",
    pages: [
      {
        title: "Discover",
        href: "/discover",
        icon: Compass,
        jump: "e",
        keywords: "search hub hugging face download explore",
      },
      {
        title: "Models",
        href: "/models",
        icon: Boxes,
        jump: "m",
        keywords: "registry adapters versions aliases",
      },
    ],
  },
  {
    title: "Fine-tune",
    pages: [
      {
        title: "Data Prep Studio",
        href: "/datasets",
        icon: FileText,
        jump: "s",
        keywords: "datasets upload jsonl rows",
      },
      {
        title: "Training",
        href: "/training",
        icon: Dumbbell,
        jump: "t",
        keywords: "jobs lora fine-tune loss",
      },
    ],
  },
  {
    title: "Serve",
    pages: [
      {
        title: "Playground",
        href: "/inference",
        icon: MessageSquareText,
        jump: "i",
        keywords: "inference chat compare",
      },
      {
        title: "Prompt cache",
        href: "/cache",
        icon: ArchiveRestore,
        jump: "c",
        keywords: "kv entries hits warm up",
      },
      {
        title: "Metrics",
        href: "/metrics",
        icon: ChartLine,
        jump: "x",
        keywords: "gpu memory throughput latency system",
      },
    ],
  },
];

export const SETTINGS_PAGE: PageEntry = {
  title: "Settings",
  href: "/settings",
  icon: Settings,
  jump: ",",
  keywords: "endpoints api key theme defaults",
};

export const PAGES: readonly PageEntry[] = [...PAGE_GROUPS.flatMap((group) => group.pages), SETTINGS_PAGE];

/** Whether `pathname` is the page or below it. */
export function isWithin(pathname: string, href: string): boolean {
  return href === "/" ? pathname === "/" : pathname === href || pathname.startsWith(`${href}/`);
}

const FIXED: Record<string, string> = { new: "New job", compare: "Compare" };
/** More of an id tells a person nothing. */
const ID_LENGTH = 8;

/** The way to a page. `label` names a detail page, whose path knows only an id. */
export function crumbsFor(pathname: string, label: string | null): { label: string; href?: string }[] {
  const page = PAGES.find((entry) => isWithin(pathname, entry.href));
  if (!page) return [{ label: label ?? "Not found" }];
  const rest = pathname.slice(page.href.length).split("/").filter(Boolean).map(decodeURIComponent);
  if (page.href === "/" || rest.length === 0) return [{ label: page.title }];
  const first = rest[0] ?? "";
  const ownName = FIXED[first] ?? (rest.length > 1 ? rest.join("/") : first.slice(0, ID_LENGTH));
  return [{ label: page.title, href: page.href }, { label: label ?? ownName }];
}
