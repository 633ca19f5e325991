// The SQL editor: CodeMirror, with the store's tables and columns to complete from.
//
// It stands in a shadow root: there its styles are style sheet objects, which the page's policy
// allows, while styles written into the page are refused.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { PostgreSQL, type SQLNamespace, sql } from "@codemirror/lang-sql";
import { HighlightStyle, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import { EditorView, drawSelection, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

export interface EditorProps {
  readonly label: string;
  readonly hint: string;
  readonly text: string;
  readonly schema: SQLNamespace;
  onChange(text: string): void;
  onRun(): void;
}

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--text-2)", fontStyle: "italic" },
  { tag: tags.typeName, color: "var(--code-number)" },
]);

const look = EditorView.theme({
  "&": { color: "var(--text)", fontSize: "14px", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", padding: "6px 0" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-line": { padding: "0 12px" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { background: "var(--select) !important" },
  ".cm-placeholder": { color: "var(--text-2)" },
  ".cm-tooltip": { background: "var(--surface)", border: "1px solid var(--line)", color: "var(--text)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px" },
});

export function Editor(props: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const now = useRef(props);
  const language = useRef(new Compartment());
  now.current = props;

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const run = (): boolean => {
      now.current.onRun();
      return true;
    };
    view.current = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: now.current.text,
        extensions: [
          Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
          history(), drawSelection(), bracketMatching(), closeBrackets(), autocompletion(),
          language.current.of(sql({ dialect: PostgreSQL, schema: now.current.schema, upperCaseKeywords: true })),
          syntaxHighlighting(colours), look, EditorView.lineWrapping, placeholder(now.current.hint),
          keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab]),
          EditorView.contentAttributes.of({ "aria-label": now.current.label }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) now.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    return () => {
      view.current?.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    const effects = language.current.reconfigure(sql({ dialect: PostgreSQL, schema: props.schema, upperCaseKeywords: true }));
    view.current?.dispatch({ effects });
  }, [props.schema]);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== props.text) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: props.text } });
    }
  }, [props.text]);

  return <div className="editor" ref={host} />;
}
