// @vitest-environment node
import { describe, expect, it } from "vitest";
import { formatBytes, formatBytesOf, formatBytesPerSecond } from "@/lib/format/bytes";
import { formatCompact, formatCount, formatInteger, formatNumber, formatParameters, formatPercent } from "@/lib/format/numbers";
import {
  formatClock,
  formatDateTime,
  formatDuration,
  formatMilliseconds,
  formatRelative,
  formatTokensPerSecond,
  secondsBetween,
  toDate,
} from "@/lib/format/time";

describe("what is absent", () => {
  it.each([
    formatBytes,
    formatBytesPerSecond,
    formatCompact,
    formatInteger,
    formatNumber,
    formatParameters,
    formatPercent,
    formatDuration,
    formatMilliseconds,
    formatTokensPerSecond,
  ])("is never shown as zero by %o", (format) => {
    for (const value of [null, undefined, Number.NaN, Infinity]) expect(format(value)).toBe("--");
  });

  it("is no moment either", () => {
    for (const moment of [null, undefined, "", "nonsense"]) {
      expect([formatRelative(moment), formatDateTime(moment), formatClock(moment)]).toEqual(["--", "--", "--"]);
    }
  });
});

it.each([
  [0, "0"],
  [0.00123456, "0.00123"],
  [1.23456, "1.23"],
  [123.456, "123"],
  [1234.5, "1,235"],
  [0.00001234, "1.23e-5"],
  [0.00001, "1e-5"],
  [2_500_000_000, "2.5e9"],
  [-0.5, "-0.5"],
])("formatNumber(%d) is %s", (value, text) => expect(formatNumber(value)).toBe(text));

it("numbers have the form that fits them", () => {
  expect(formatInteger(1234567.4)).toBe("1,234,567");
  expect(formatCompact(1_234_567)).toBe("1.2M");
  expect(formatParameters(7_615_616_512)).toBe("7.62B");
  expect([0.256, 0.0256, 0, 1].map(formatPercent)).toEqual(["26%", "2.6%", "0%", "100%"]);
  expect([formatCount(1, "model"), formatCount(2, "model"), formatCount(0, "entry", "entries")]).toEqual([
    "1 model",
    "2 models",
    "0 entries",
  ]);
});

it.each([
  [0, "0 B"],
  [512, "512 B"],
  [999, "999 B"],
  [1_500, "1.5 kB"],
  [999_600, "1 MB"],
  [12_345_678, "12.3 MB"],
  [4_800_000_000, "4.8 GB"],
  [350_000_000_000, "350 GB"],
  [5e18, "5,000 PB"],
  [0.4, "0 B"],
])("formatBytes(%d) is %s", (value, text) => expect(formatBytes(value)).toBe(text));

it("bytes of a total share a unit where they can", () => {
  expect(formatBytesOf(1_200_000_000, 4_800_000_000)).toBe("1.2 of 4.8 GB");
  expect(formatBytesOf(900_000, 4_800_000_000)).toBe("900 kB of 4.8 GB");
  expect(formatBytesOf(900_000, 0)).toBe("900 kB");
  expect(formatBytesPerSecond(2_500_000)).toBe("2.5 MB/s");
});

it.each([
  [0.0426, "43 ms"],
  [4.21, "4.2 s"],
  [42.4, "42 s"],
  [59.99, "1 min"],
  [200, "3 min 20 s"],
  [7_500, "2 h 5 min"],
  [3_599.9, "1 h"],
  [273_600, "3 d 4 h"],
  [-5, "0 ms"],
])("formatDuration(%d) is %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

it("rates and milliseconds have their units", () => {
  expect([formatTokensPerSecond(42.123), formatMilliseconds(1234.5)]).toEqual(["42.1 tok/s", "1,235 ms"]);
});

const NOW = Date.parse("2026-06-15T12:00:00Z");

it.each([
  ["2026-06-15T11:59:55Z", "just now"],
  ["2026-06-15T11:59:30Z", "30 seconds ago"],
  ["2026-06-15T11:55:00Z", "5 minutes ago"],
  ["2026-06-14T12:00:00Z", "yesterday"],
  ["2026-06-15T14:00:00Z", "in 2 hours"],
  ["2025-01-01T00:00:00Z", "last year"],
])("%s is %s", (moment, text) => expect(formatRelative(moment, NOW)).toBe(text));

it("moments are shown in the reader's time zone", () => {
  const moment = new Date(2026, 10, 26, 12, 44, 5);
  expect(formatDateTime(moment)).toBe("26 Nov 2026, 12:44");
  expect(formatClock(moment.getTime())).toBe("12:44:05");
  expect(toDate(moment)).toBe(moment);
});

it("spans run until now when they have no end", () => {
  expect(secondsBetween("2026-06-15T11:59:00Z", "2026-06-15T11:59:30Z", NOW)).toBe(30);
  expect(secondsBetween("2026-06-15T11:59:00Z", null, NOW)).toBe(60);
  expect(secondsBetween("2026-06-15T12:59:00Z", null, NOW)).toBe(0);
  expect(secondsBetween(null, null, NOW)).toBeNull();
});
