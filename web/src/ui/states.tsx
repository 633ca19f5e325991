// What stands where there is nothing to show, and why.
import { Component, type ReactNode } from "react";
import { useReader } from "../context";
import { Refused } from "../core/sql";

export function Loading() {
  const { t } = useReader();
  return (
    <div className="state" role="status">
      <span className="visually-hidden">{t("state.loading")}</span>
      <span className="skeleton" aria-hidden="true" />
      <span className="skeleton short" aria-hidden="true" />
    </div>
  );
}

export function Empty({ title, hint }: { title: string; hint?: string }) {
  return (
    <div className="state empty">
      <p>{title}</p>
      {hint && <p className="quiet">{hint}</p>}
    </div>
  );
}

export function Failure({ error, title }: { error: Error; title?: string }) {
  const { t } = useReader();
  const away = !(error instanceof Refused);
  return (
    <div className="state error" role="alert">
      <p>{title ?? t("state.error")}</p>
      <p className="reason">{away ? t("sql.away") : error.message}</p>
      {error instanceof Refused && error.detail && <p className="quiet">{error.detail}</p>}
      {error instanceof Refused && error.hint && (
        <p className="quiet">{t("sql.hintLabel", { hint: error.hint })}</p>
      )}
    </div>
  );
}

interface BoundaryProps {
  readonly title: string;
  readonly reload: string;
  readonly children: ReactNode;
}

/** Keeps what breaks in one place from taking the page down. */
export class Boundary extends Component<BoundaryProps, { reason: string | null }> {
  override state: { reason: string | null } = { reason: null };

  static getDerivedStateFromError(error: unknown): { reason: string } {
    return { reason: String(error) };
  }

  override render(): ReactNode {
    if (this.state.reason === null) return this.props.children;
    return (
      <div className="state error" role="alert">
        <p>{this.props.title}</p>
        <p className="reason">{this.state.reason}</p>
        <button type="button" onClick={() => this.setState({ reason: null })}>
          {this.props.reload}
        </button>
      </div>
    );
  }
}
