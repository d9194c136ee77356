// What a figure shows, and its place in the address, so that a link or a reload shows the same again.
import type { Palette, Scale } from "./colour";
import type { Head } from "./data";

export type View = "drawing" | "map" | "lines" | "alignment" | "text";

export interface State {
  kind: string;
  measure: string;
  words: boolean;
  layer: number; // index among the records of the kind
  head: Head;
  view: View;
  scale: Scale;
  palette: Palette;
  query: number | null;
  key: number | null;
  by: "query" | "key"; // which of both the text is coloured by
  sink: boolean; // whether the key with most of the mass is left out
  size: number; // pixels of a cell; 0: as fits
}

const SHORT: { [name in keyof State]: string } = {
  kind: "kind",
  measure: "measure",
  words: "words",
  layer: "layer",
  head: "head",
  view: "view",
  scale: "scale",
  palette: "colours",
  query: "from",
  key: "to",
  by: "by",
  sink: "sink",
  size: "size",
};

const waiting = new Map<string, number>();

// Writes the state into the address soon: browsers take milliseconds for it.
export function remember(name: string, state: State, initial: State): void {
  clearTimeout(waiting.get(name));
  waiting.set(
    name,
    window.setTimeout(() => write(name, state, initial), 100),
  );
}

// Only what differs from where the figure began stands in the address.
function write(name: string, state: State, initial: State): void {
  const parts: string[] = [];
  for (const field of Object.keys(SHORT) as (keyof State)[]) {
    if (state[field] !== initial[field]) parts.push(`${SHORT[field]}~${encodeURIComponent(String(state[field]))}`);
  }
  const all = new URLSearchParams(location.hash.slice(1));
  if (parts.length) all.set(name, parts.join("~~"));
  else all.delete(name);
  try {
    history.replaceState(null, "", all.size ? `#${all}` : location.pathname + location.search);
  } catch {
    // A page inside another, as in a notebook, has no address of its own.
  }
}

export function recalled(name: string, initial: State): State {
  const text = new URLSearchParams(location.hash.slice(1)).get(name);
  const state: State = { ...initial };
  for (const part of text ? text.split("~~") : []) {
    const [short, value] = part.split("~");
    const field = (Object.keys(SHORT) as (keyof State)[]).find((each) => SHORT[each] === short);
    if (!field || value === undefined) continue;
    (state as unknown as Record<string, unknown>)[field] = parsed(decodeURIComponent(value), field);
  }
  return state;
}

function parsed(value: string, field: keyof State): unknown {
  if (value === "true" || value === "false") return value === "true";
  if (value === "null") return null;
  const numeric = ["layer", "head", "query", "key", "size"].includes(field);
  return numeric && /^\d+$/.test(value) ? Number(value) : value;
}
