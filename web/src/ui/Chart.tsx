// Lines and bars over time or over labels. Drawn by ECharts, which is fetched when the first one is.
import { useEffect, useRef } from "react";
import { useColours } from "./theme";
import type { EChartsType } from "./echarts";

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** What stands in the tooltip: exact, as `values` are not. */
  readonly texts: readonly string[];
  /** Drawn behind, without weight. */
  readonly past?: boolean;
}

export interface ChartProps {
  readonly label: string;
  readonly kind: "line" | "bars";
  readonly labels: readonly string[];
  /** Above the tooltip; longer than the label on the axis. */
  readonly heads: readonly string[];
  readonly series: readonly Series[];
  readonly short: (value: number) => string;
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const shown = useRef(props);
  const colours = useColours();
  shown.current = props;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let gone = false;
    const watch = new ResizeObserver(() => chart.current?.resize());
    void import("./echarts").then(({ init }) => {
      if (gone) return;
      chart.current = init(element, null, { renderer: "canvas" });
      chart.current.setOption(option(shown.current, readColours(element)));
      watch.observe(element);
    });
    return () => {
      gone = true;
      watch.disconnect();
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    if (box.current && chart.current) {
      chart.current.setOption(option(props, readColours(box.current)), { notMerge: true });
    }
  }, [props, colours]);

  return <div className="chart" ref={box} role="img" aria-label={props.label} />;
}

interface Colours {
  readonly accent: string;
  readonly past: string;
  readonly line: string;
  readonly text: string;
  readonly surface: string;
  readonly others: readonly string[];
}

function readColours(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  return {
    accent: read("--accent"), past: read("--past"), line: read("--line"), text: read("--text-2"),
    surface: read("--surface"), others: [read("--series-2"), read("--series-3"), read("--series-4")],
  };
}

function option(props: ChartProps, colours: Colours): Record<string, unknown> {
  const { labels, series, short } = props;
  let next = 0;
  const drawn = series.map((one, at) => {
    const colour = one.past ? colours.past : at === 0 ? colours.accent : colours.others[next++ % 3];
    const line = props.kind === "line" || one.past;
    return {
      name: one.name, type: line ? "line" : "bar", data: one.values, color: colour,
      showSymbol: false, step: props.kind === "bars" ? "middle" : undefined, symbolSize: 6, barMaxWidth: 28, z: one.past ? 1 : 2,
      lineStyle: { width: one.past ? 1.5 : 2, type: one.past ? "dashed" : "solid" },
      areaStyle: line && !one.past && at === 0 && series.length <= 2 ? { opacity: 0.08 } : undefined,
      itemStyle: line ? undefined : { borderRadius: [2, 2, 0, 0] },
    };
  });
  return {
    animation: false,
    textStyle: { fontFamily: "inherit" },
    grid: { left: 4, right: 8, top: 10, bottom: 0, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    xAxis: {
      type: "category", data: labels, boundaryGap: props.kind === "bars",
      axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false },
      axisLabel: { color: colours.text, fontSize: 11, hideOverlap: true, showMinLabel: true },
    },
    yAxis: {
      type: "value", splitNumber: 4, axisLabel: { color: colours.text, fontSize: 11, formatter: short },
      splitLine: { lineStyle: { color: colours.line } },
    },
    tooltip: {
      trigger: "axis", confine: true, transitionDuration: 0, className: "tooltip",
      backgroundColor: colours.surface, borderColor: colours.line, borderWidth: 1, padding: 0,
      axisPointer: { type: props.kind === "line" ? "line" : "shadow", lineStyle: { color: colours.past } },
      formatter: (points: readonly { dataIndex: number }[]) => tooltip(props, points[0]?.dataIndex ?? 0),
    },
    series: drawn,
  };
}

// As elements, not as markup: names come from the data.
function tooltip(props: ChartProps, at: number): HTMLElement {
  const box = document.createElement("div");
  box.className = "tooltip-body";
  const head = document.createElement("div");
  head.className = "tooltip-head";
  head.textContent = props.heads[at] ?? props.labels[at] ?? "";
  box.append(head);
  for (const series of props.series) {
    const row = document.createElement("div");
    row.className = "tooltip-row";
    const name = document.createElement("span");
    name.textContent = series.name;
    const value = document.createElement("strong");
    value.textContent = series.texts[at] ?? "";
    row.append(name, value);
    box.append(row);
  }
  return box;
}
