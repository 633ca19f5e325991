// Which catalogue, and messages with their places filled.
import { type Catalogue, type Key, en } from "./en";
import { zhCN } from "./zh-CN";

export type { Key } from "./en";

export const CATALOGUES: Readonly<Record<string, Catalogue>> = { en, "zh-CN": zhCN };

/** As their readers call them. */
export const LANGUAGES: readonly (readonly [string, string])[] = [["en", "English"], ["zh-CN", "简体中文"]];

/** The catalogue for what the reader chose, or else for the first of the browser's that there is. */
export function languageOf(chosen: string | null, browser: readonly string[]): string {
  for (const wanted of chosen === null ? browser : [chosen, ...browser]) {
    if (Object.hasOwn(CATALOGUES, wanted)) return wanted;
    if (/^zh\b/i.test(wanted)) return "zh-CN";
    if (/^en\b/i.test(wanted)) return "en";
  }
  return "en";
}

/** The browser's own variant of the language, so that its numbers and dates are the reader's. */
export function localeOf(language: string, browser: readonly string[]): string {
  const short = language.slice(0, 2);
  return browser.find((one) => one.slice(0, 2).toLowerCase() === short) ?? language;
}

export type Translate = (key: Key, values?: Readonly<Record<string, string | number>>) => string;

export function translator(language: string): Translate {
  const catalogue = CATALOGUES[language] ?? en;
  return (key, values) =>
    catalogue[key].replace(/\{(\w+)\}/g, (all, name: string) => String(values?.[name] ?? all));
}
