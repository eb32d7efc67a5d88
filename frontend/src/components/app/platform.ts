/** The key that goes with K: ⌘ on Macs, Ctrl elsewhere. */
export function modifierName(): string {
  return typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘" : "Ctrl";
}
