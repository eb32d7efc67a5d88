/** Where a text stops being JSON; browsers tell it each in its own words, or not at all. */
export interface Place {
  line: number;
  column: number;
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const ATOM = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/y;

/** Null when the text is JSON. */
export function findJSONProblem(text: string): Place | null {
  const scanner = new Scanner(text);
  const isWhole = scanner.value() && scanner.isAtEnd();
  if (isWhole) return null;
  const before = text.slice(0, scanner.index).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** Reads one value after another; `index` stays where the first thing does not fit. */
class Scanner {
  index = 0;

  constructor(private readonly text: string) {}

  value(): boolean {
    this.match(SPACE);
    const isValue = this.take("{") ? this.members("}", true) : this.take("[") ? this.members("]", false) : this.scalar();
    if (isValue) this.match(SPACE);
    return isValue;
  }

  isAtEnd(): boolean {
    return this.index === this.text.length;
  }

  private scalar(): boolean {
    return this.match(STRING) || this.match(ATOM);
  }

  private members(end: string, hasNames: boolean): boolean {
    this.match(SPACE);
    if (this.take(end)) return true;
    do {
      this.match(SPACE);
      if (hasNames && !(this.match(STRING) && this.match(SPACE) && this.take(":"))) return false;
      if (!this.value()) return false;
    } while (this.take(","));
    return this.take(end);
  }

  private take(character: string): boolean {
    if (this.text[this.index] !== character) return false;
    this.index += 1;
    return true;
  }

  private match(pattern: RegExp): boolean {
    pattern.lastIndex = this.index;
    const found = pattern.exec(this.text);
    if (found) this.index = pattern.lastIndex;
    return found !== null;
  }
}
