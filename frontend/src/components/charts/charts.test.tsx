import { screen, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { renderApp } from "@/testing/render-app";
import { HistogramBars } from "./histogram-bars";
import { Sparkline } from "./sparkline";
import { StackedBar } from "./stacked-bar";
import { TimeSeriesChart } from "./time-series-chart";

const SERIES = [
  { key: "loss", label: "Training", x: [1, 2, 3], y: [3, null, 1] },
  { key: "val", label: "Validation", x: [3], y: [2] },
];

// jsdom has no canvas; what is drawn there is looked at in a browser.
vi.mock("next/dynamic", () => ({ default: () => () => null }));

it("a chart says in words what it shows, and the newest value of each curve", () => {
  renderApp(<TimeSeriesChart label="Loss" series={SERIES} xKind="step" />);

  expect(screen.getByRole("img", { name: /^Loss\. Training: from 3 to 1, lowest 1, highest 3\./ })).toBeVisible();
  expect(screen.getAllByRole("listitem").map((item) => item.textContent)).toEqual(["Training1", "Validation2"]);
  expect(screen.getByText("step 3")).toBeVisible();
});

it("a chart is a table too, the newest row first, where nothing was measured a dash", async () => {
  const { user } = renderApp(<TimeSeriesChart label="Loss" series={SERIES} xKind="step" />);

  await user.click(screen.getByRole("button", { name: "Show table" }));

  const rows = within(screen.getByRole("table", { name: "Loss" })).getAllByRole("row");
  expect(rows.map((row) => row.textContent)).toEqual(["stepTrainingValidation", "312", "2----", "13--"]);
});

it("a table of very many rows says that it has only the newest", async () => {
  const x = Array.from({ length: 1_000 }, (_, index) => index);
  const { user } = renderApp(<TimeSeriesChart label="Loss" series={[{ ...SERIES[0]!, x, y: x }]} xKind="step" />);

  await user.click(screen.getByRole("button", { name: "Show table" }));

  expect(screen.getByText("The newest 200 of 1,000 rows; the CSV has all.")).toBeVisible();
});

it("a chart says what a logarithmic axis and its width leave out", () => {
  const x = Array.from({ length: 10_000 }, (_, index) => index);
  renderApp(<TimeSeriesChart label="Loss" series={[{ ...SERIES[0]!, x, y: x }]} xKind="step" yScale="log" />);

  expect(screen.getByText(/of 10,000 points drawn, peaks kept/)).toBeVisible();
  expect(screen.getByText("1 value of zero or less not on this axis")).toBeVisible();
});

it("a chart without a value says so", () => {
  renderApp(<TimeSeriesChart label="Loss" series={[]} xKind="time" emptyText="Nothing has been trained yet." />);

  expect(screen.getByText("Nothing has been trained yet.")).toBeVisible();
  expect(screen.queryByRole("button")).toBeNull();
});

it("a histogram has its numbers in a table", () => {
  const bins = [
    { first: 1, last: 100, count: 1_200 },
    { first: 101, last: 200, count: 0 },
  ];
  renderApp(<HistogramBars label="Rows by length" bins={bins} limit={{ at: 101, label: "cut at 100" }} />);

  const rows = within(screen.getByRole("table", { name: "Rows by length" })).getAllByRole("row");
  expect(rows.map((row) => row.textContent)).toEqual(["FromToCount", "11001,200", "1012000"]);
});

it("a histogram of nothing says so", () => {
  renderApp(<HistogramBars label="Rows by length" bins={[]} />);

  expect(screen.getByText("Nothing to count yet.")).toBeVisible();
});

it("a stacked bar names each part, and what was not measured has no number", () => {
  const segments = [
    { key: "active", label: "Active", value: 2 },
    { key: "cache", label: "Cache", value: null, color: "muted" as const },
  ];
  renderApp(
    <StackedBar label="Memory" segments={segments} total={8} format={(value) => (value === null ? "--" : `${value} GB`)} />,
  );

  const memory = screen.getByRole("figure", { name: "Memory" });
  expect(
    within(memory)
      .getAllByRole("definition")
      .map((value) => value.textContent),
  ).toEqual(["2 GB", "--"]);
});

it("a sparkline has a name", () => {
  renderApp(<Sparkline label="Tokens per second, now 42" values={[1, 2, null]} />);

  expect(screen.getByRole("img", { name: "Tokens per second, now 42" })).toBeVisible();
});
