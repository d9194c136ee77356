// Elements and text. Tokens are untrusted: they only ever pass through textContent and setAttribute.

export type Attributes = { [name: string]: string | number };

// The page holds an SVG with the hatching; its namespace spares the address of one.
const SVG = (document.querySelector("svg") as SVGElement).namespaceURI as string;

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  text: string | null = null,
  parent: ParentNode | null = null,
): HTMLElementTagNameMap[K] {
  return finish(document.createElement(name), attributes, text, parent);
}

export function draw<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  text: string | null = null,
  parent: ParentNode | null = null,
): SVGElementTagNameMap[K] {
  return finish(document.createElementNS(SVG, name) as SVGElementTagNameMap[K], attributes, text, parent);
}

function finish<T extends Element>(node: T, attributes: Attributes, text: string | null, parent: ParentNode | null): T {
  for (const [key, value] of Object.entries(attributes)) {
    // A page may forbid style attributes (style-src-attr), and not this.
    if (key === "style") (node as unknown as ElementCSSInlineStyle).style.cssText = String(value);
    else node.setAttribute(key, String(value));
  }
  if (text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

export const clamp = (low: number, value: number, high: number): number => Math.max(low, Math.min(high, value));

// ---- tokens ----------------------------------------------------------------------------------

const INVISIBLE = /[\u0000-\u0020\u007f-\u00a0\u2028-\u202e\u2066-\u2069\u200b\ufeff\p{Surrogate}]/gu;
const SIGNS: { [character: string]: string } = {
  " ": "\u2423",
  "\u00a0": "\u2423",
  "\n": "\u23ce",
  "\u2028": "\u23ce",
  "\u2029": "\u23ce",
  "\t": "\u21e5",
};

// White space and control characters would be invisible, or turn the text around: a sign for each.
export const visible = (token: string): string =>
  token === "" ? "\u2205" : token.replace(INVISIBLE, (character) => SIGNS[character] ?? "\ufffd");

export const quoted = (token: string): string => `\u201c${visible(token)}\u201d`;

const segmenter = typeof Intl !== "undefined" && "Segmenter" in Intl ? new Intl.Segmenter() : null;
const letters = (text: string): string[] =>
  segmenter ? Array.from(segmenter.segment(text), (part) => part.segment) : Array.from(text);

const pen = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;

export interface Fit {
  text: string;
  width: number;
}

// What of a token fits into so many pixels at a size of the font, with an ellipsis.
export function fitted(token: string, room: number, size = 13): Fit {
  pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  const wide = (text: string) => pen.measureText(text).width;
  const text = visible(token);
  if (text.length < 400 && wide(text) <= room) return { text, width: wide(text) };
  // By halving: a token of 10,000 characters is measured a few times only.
  const parts = letters(text.slice(0, 400));
  const start = (count: number) => `${parts.slice(0, count).join("")}\u2026`;
  let low = 1;
  let high = parts.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (wide(start(middle)) <= room) low = middle;
    else high = middle - 1;
  }
  return { text: start(low), width: wide(start(low)) };
}

// At most four significant digits, without an exponent's surprise for what is shown as 0.
export const number = (value: number): string => String(Number(value.toPrecision(4)));
export const percent = (share: number): string => `${Math.round(100 * share)} %`;
