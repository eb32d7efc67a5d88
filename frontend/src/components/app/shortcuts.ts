/** Keyboard shortcuts as data: what the sheet lists is what the keys do. */
import { PAGES } from "./navigation";

export interface Shortcut {
  keys: readonly string[];
  does: string;
}

export const SHORTCUT_GROUPS: readonly { title: string; shortcuts: readonly Shortcut[] }[] = [
  {
    title: "Everywhere",
    shortcuts: [
      { keys: ["Mod", "K"], does: "Open the command palette" },
      { keys: ["/"], does: "Search on this page" },
      { keys: ["["], does: "Fold or unfold the sidebar" },
      { keys: ["?"], does: "Show these shortcuts" },
      { keys: ["Esc"], does: "Close what is open" },
    ],
  },
  {
    title: "Go to",
    shortcuts: PAGES.map((page) => ({ keys: ["G", page.jump.toUpperCase()], does: page.title })),
  },
  {
    title: "Playground",
    shortcuts: [
      { keys: ["Mod", "Enter"], does: "Send" },
      { keys: ["Esc"], does: "Stop the answer" },
    ],
  },
  {
    title: "Tables",
    shortcuts: [
      { keys: ["↑", "↓"], does: "Move between rows" },
      { keys: ["Enter"], does: "Open the row" },
    ],
  },
];

export type Command =
  { type: "palette" } | { type: "shortcuts" } | { type: "sidebar" } | { type: "search" } | { type: "go"; href: string };

export interface KeyPress {
  key: string;
  /** Ctrl, Cmd or Alt is held. */
  hasModifier: boolean;
  /** The focus is where text is entered. */
  isTyping: boolean;
  /** A dialog or menu is open. */
  isOverlayOpen: boolean;
}

/** Time between `g` and the key that names the page. */
const SEQUENCE_MS = 1200;
const SINGLE: Record<string, Command> = {
  "?": { type: "shortcuts" },
  "/": { type: "search" },
  "[": { type: "sidebar" },
};

/** Reads keys one after another; each call returns the command that the key completes, or null. */
export function createShortcutReader(): (press: KeyPress, now: number) => Command | null {
  let startedAt: number | null = null;

  return (press, now) => {
    const isSecond = startedAt !== null && now - startedAt <= SEQUENCE_MS;
    startedAt = null;
    const key = press.key.toLowerCase();
    if (press.hasModifier) return key === "k" ? { type: "palette" } : null;
    if (press.isTyping || press.isOverlayOpen) return null;
    const page = isSecond ? PAGES.find((entry) => entry.jump === key) : undefined;
    if (page) return { type: "go", href: page.href };
    if (key === "g") startedAt = now;
    return SINGLE[key] ?? null;
  };
}

const TEXT_INPUTS = "input, textarea, select, [contenteditable], [role=textbox], [role=combobox]";
const OVERLAYS = "[role=dialog], [role=alertdialog], [role=menu], [role=listbox]";

export function toKeyPress(event: KeyboardEvent): KeyPress {
  const { key, ctrlKey, metaKey, altKey, target } = event;
  const element = target instanceof Element ? target : null;
  return {
    key,
    hasModifier: ctrlKey || metaKey || altKey,
    isTyping: Boolean(element?.closest(TEXT_INPUTS)),
    isOverlayOpen: document.querySelector(OVERLAYS) !== null,
  };
}
