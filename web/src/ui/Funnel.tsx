// Steps one after the other: how many took each, and how many of those before.
import { useReader } from "../context";
import { ZERO, approximate } from "../core/decimal";
import { inLanguage } from "../core/panel";
import { total } from "../core/shape";
import type { Shown } from "./PanelView";
import { Empty } from "./states";

export function Funnel({ panel, table }: Shown) {
  const { t, formats, language } = useReader();
  const steps = panel.y.map((name) => ({
    name,
    title: inLanguage(panel.column[name]?.title ?? {}, language) || name,
    value: total(table, name) ?? ZERO,
  }));
  const first = approximate(steps[0]?.value ?? ZERO);
  if (first <= 0) return <Empty title={t("state.empty")} hint={t("state.emptyHint")} />;
  return (
    <ol className="funnel-steps">
      {steps.map((step, at) => {
        const share = approximate(step.value) / first;
        return (
          <li key={step.name}>
            <span className="step-name">{step.title}</span>
            <span className="step-value">{formats.count(step.value)}</span>
            <meter className="bar" min={0} max={1} value={share} aria-hidden="true" />
            <span className="step-share">
              {at > 0 && <span aria-label={t("panel.share", { share: formats.percent(share) })}>{formats.percent(share)}</span>}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
