// Light, dark, or as the system has it.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "tradewind.theme";
const listeners = new Set<() => void>();
const dark = globalThis.matchMedia?.("(prefers-color-scheme: dark)");

/** What the browser keeps for us, where it keeps anything. */
export function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Without a store the choice lasts as long as the tab.
  }
}

const kept = stored(KEY);
let theme: Theme = kept === "light" || kept === "dark" ? kept : "system";

function apply(): void {
  document.documentElement.dataset["theme"] = shown();
  for (const listener of listeners) listener();
}

function shown(): "light" | "dark" {
  return theme === "system" ? (dark?.matches ? "dark" : "light") : theme;
}

export function startTheme(): void {
  dark?.addEventListener("change", apply);
  apply();
}

export function chooseTheme(chosen: Theme): void {
  theme = chosen;
  store(KEY, chosen);
  apply();
}

function listen(told: () => void): () => void {
  listeners.add(told);
  return () => listeners.delete(told);
}

export function useTheme(): Theme {
  return useSyncExternalStore(listen, () => theme);
}

/** Which colours are shown: changes when what is drawn must be drawn again. */
export function useColours(): "light" | "dark" {
  return useSyncExternalStore(listen, shown);
}
