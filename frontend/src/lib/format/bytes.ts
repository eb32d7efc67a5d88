/** Bytes in powers of ten, as disks, downloads and MODEL_CACHE_MAX_SIZE count. */
import { ABSENT, isPresent } from "@/lib/format/numbers";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** 0 B, 512 B, 1.5 kB, 12.3 GB: three digits at most. */
export function formatBytes(value: number | null | undefined): string {
  if (!isPresent(value)) return ABSENT;
  let power = value === 0 ? 0 : Math.min(Math.floor(Math.log10(Math.abs(value)) / 3), UNITS.length - 1);
  power = Math.max(power, 0);
  let scaled = value / 1000 ** power;
  // 999.6 kB would show as 1000 kB.
  if (Math.abs(scaled) >= 999.5 && power < UNITS.length - 1) scaled = value / 1000 ** ++power;
  const digits = power === 0 || Math.abs(scaled) >= 100 ? 0 : 1;
  const text = new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(scaled);
  return `${text} ${UNITS[power]}`;
}

/** "1.2 of 4.8 GB", or with two units where they differ. */
export function formatBytesOf(done: number, total: number | null | undefined): string {
  if (!isPresent(total) || total <= 0) return formatBytes(done);
  const [first, firstUnit] = formatBytes(done).split(" ");
  const whole = formatBytes(total);
  return whole.endsWith(` ${firstUnit}`) ? `${first} of ${whole}` : `${first} ${firstUnit} of ${whole}`;
}

export function formatBytesPerSecond(value: number | null | undefined): string {
  return isPresent(value) ? `${formatBytes(value)}/s` : ABSENT;
}
