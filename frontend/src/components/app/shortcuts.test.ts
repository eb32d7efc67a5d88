import { describe, expect, it } from "vitest";
import { PAGES } from "./navigation";
import { createShortcutReader, type KeyPress, toKeyPress } from "./shortcuts";

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  key,
  hasModifier: false,
  isTyping: false,
  isOverlayOpen: false,
  ...more,
});

describe("createShortcutReader", () => {
  it("goes to a page by g and its letter", () => {
    const read = createShortcutReader();

    expect(read(press("g"), 0)).toBeNull();
    expect(read(press("t"), 500)).toEqual({ type: "go", href: "/training" });
  });

  it("has one letter for each page", () => {
    expect(new Set(PAGES.map((page) => page.jump)).size).toBe(PAGES.length);
  });

  it("forgets g after a while, and after another key", () => {
    const read = createShortcutReader();

    read(press("g"), 0);
    expect(read(press("t"), 5000)).toBeNull();
    read(press("g"), 6000);
    read(press("q"), 6100);
    expect(read(press("t"), 6200)).toBeNull();
  });

  it("is off while somebody types or a dialog is open", () => {
    const read = createShortcutReader();

    expect(read(press("?", { isTyping: true }), 0)).toBeNull();
    expect(read(press("?", { isOverlayOpen: true }), 0)).toBeNull();
    read(press("g", { isTyping: true }), 0);
    expect(read(press("m"), 10)).toBeNull();
  });

  it("opens the palette with Ctrl or Cmd and K also from a text field", () => {
    expect(createShortcutReader()(press("k", { hasModifier: true, isTyping: true }), 0)).toEqual({ type: "palette" });
  });

  it("leaves the browser's own combinations alone", () => {
    const read = createShortcutReader();

    expect(read(press("[", { hasModifier: true }), 0)).toBeNull();
    expect(read(press("g", { hasModifier: true }), 0)).toBeNull();
  });
});

describe("toKeyPress", () => {
  it.each(["<input>", "<textarea></textarea>", "<select></select>", '<div role="combobox" tabindex="0"></div>'])(
    "sees that %s takes text",
    (html) => {
      document.body.innerHTML = html;
      let seen: KeyPress | undefined;
      window.addEventListener("keydown", (event) => (seen = toKeyPress(event)), { once: true });

      document.body.firstElementChild?.dispatchEvent(new KeyboardEvent("keydown", { key: "g", bubbles: true }));

      expect(seen).toMatchObject({ key: "g", isTyping: true, hasModifier: false });
      document.body.innerHTML = "";
    },
  );
});
