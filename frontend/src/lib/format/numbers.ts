/** Numbers as people read them. What is null or not finite is shown as "--", never as zero. */

export const ABSENT = "--";
const LOCALE = "en";

type Value = number | null | undefined;

const formats = new Map<string, Intl.NumberFormat>();

function format(value: number, options: Intl.NumberFormatOptions): string {
  const key = JSON.stringify(options);
  let found = formats.get(key);
  if (!found) formats.set(key, (found = new Intl.NumberFormat(LOCALE, options)));
  return found.format(value);
}

export function isPresent(value: Value): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** 1,234,567 */
export function formatInteger(value: Value): string {
  return isPresent(value) ? format(value, { maximumFractionDigits: 0 }) : ABSENT;
}

/** 1.2M; for counts where the exact number does not matter. */
export function formatCompact(value: Value): string {
  return isPresent(value) ? format(value, { notation: "compact", maximumFractionDigits: 1 }) : ABSENT;
}

/** Three significant digits or so: 0.00123, 1.23, 123, 1,234; 1.2e-7 for what is tiny. */
export function formatNumber(value: Value, digits = 3): string {
  if (!isPresent(value)) return ABSENT;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) {
    return value
      .toExponential(digits - 1)
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  }
  if (size >= 10 ** digits) return format(value, { maximumFractionDigits: 0 });
  return format(value, { maximumSignificantDigits: digits });
}

/** 0.25 → 25%; one decimal below ten per cent. */
export function formatPercent(share: Value): string {
  if (!isPresent(share)) return ABSENT;
  return format(share, { style: "percent", maximumFractionDigits: Math.abs(share) < 0.1 ? 1 : 0 });
}

/** 596M, 7.6B: parameters of a model. */
export function formatParameters(count: Value): string {
  return isPresent(count) ? format(count, { notation: "compact", maximumSignificantDigits: 3 }) : ABSENT;
}

/** "1 model", "3 models" */
export function formatCount(count: number, singular: string, plural = `${singular}s`): string {
  return `${formatInteger(count)} ${count === 1 ? singular : plural}`;
}
