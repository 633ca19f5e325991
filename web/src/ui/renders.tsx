// How often panels are drawn: counted in the build that tests it (`vite build --mode profiling`), and
// nothing at all in any other.
import { Profiler, type ReactNode } from "react";

const counts: Record<string, number> = {};
const counting = import.meta.env.MODE === "profiling";

if (counting) (globalThis as { renders?: Record<string, number> }).renders = counts;

export function Counted({ id, children }: { id: string; children: ReactNode }) {
  if (!counting) return children;
  return <Profiler id={id} onRender={() => (counts[id] = (counts[id] ?? 0) + 1)}>{children}</Profiler>;
}
