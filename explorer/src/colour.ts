// Colour maps and scales: from a weight to a level between 0 and 255, and from a level to a colour.

export type Scale = "root" | "linear" | "row" | "maximum";
export type Palette = "blue" | "cividis" | "grey";

export const SCALES: [Scale, string][] = [
  ["root", "square root"],
  ["linear", "linear"],
  ["row", "row: share of its largest"],
  ["maximum", "maximum: share of the map's largest"],
];

export const SCALE_NOTES: { [scale in Scale]: string } = {
  root: "square-root scale",
  linear: "linear scale",
  row: "each row from 0 to its largest",
  maximum: "from 0 to the largest shown",
};

export const PALETTES: [Palette, string][] = [
  ["blue", "blue"],
  ["cividis", "cividis"],
  ["grey", "grey"],
];

// Each goes one way in lightness, so that it can be read without hues; dark pages run from dark to light.
const STOPS: { [palette in Palette]: { light: string[]; dark: string[] } } = {
  blue: {
    light: ["#f7fbff", "#cfe1f2", "#93c4de", "#4a97c9", "#1764ab", "#08306b"],
    dark: ["#1a2028", "#1f4a78", "#2a72b0", "#55a5dc", "#a5d6f5", "#f7fbff"],
  },
  cividis: {
    light: ["#fff9d6", "#ead357", "#b9a871", "#7f7c75", "#4a5469", "#00224e"],
    dark: ["#16202f", "#2c4270", "#656870", "#958f78", "#d0bf5b", "#fff18a"],
  },
  grey: {
    light: ["#fafafa", "#d9d9d9", "#b0b0b0", "#808080", "#484848", "#101010"],
    dark: ["#1c1c1c", "#3d3d3d", "#6a6a6a", "#9a9a9a", "#cfcfcf", "#fafafa"],
  },
};
// What is signed: orange below 0, blue above, told apart by everybody.
const SIGNED = {
  light: ["#7f3b08", "#d9822b", "#fbd3a5", "#f7f7f7", "#b5d3ea", "#4a90c8", "#08306b"],
  dark: ["#ffd0a0", "#d9822b", "#6b3a10", "#1c2026", "#1f4a78", "#55a5dc", "#d8efff"],
};

const theme = window.matchMedia("(prefers-color-scheme: dark)");
const printed = window.matchMedia("print");
export const isDark = (): boolean => theme.matches && !printed.matches;
export function onTheme(change: () => void): void {
  theme.addEventListener("change", change);
  printed.addEventListener("change", change);
}

export type RGB = [number, number, number];

function channels(hex: string): RGB {
  return [0, 1, 2].map((i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16)) as RGB;
}

// The 256 colours of a map; of a signed one 128 is zero.
export function colours(palette: Palette, signed: boolean): RGB[] {
  const both = signed ? SIGNED : STOPS[palette];
  const stops = (isDark() ? both.dark : both.light).map(channels);
  return Array.from({ length: 256 }, (_, level) => {
    const part = (level / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(part), stops.length - 2);
    return [0, 1, 2].map((i) => Math.round(stops[low][i] * (1 - part + low) + stops[low + 1][i] * (part - low))) as RGB;
  });
}

export const css = ([red, green, blue]: RGB): string => `rgb(${red},${green},${blue})`;
// Black or white, whichever can be read better on a colour (WCAG's relative luminance).
export function inkOn(colour: RGB): string {
  const [red, green, blue] = colour.map((channel) => {
    const part = channel / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

// The level of a weight, given the largest weight that the scale refers to.
export function level(weight: number, scale: Scale, largest: number, signed: boolean): number {
  const size = largest > 0 ? Math.min(1, Math.abs(weight) / largest) : 0;
  const part = scale === "root" ? Math.sqrt(size) : size;
  if (signed) return Math.round(127.5 + (weight < 0 ? -127.5 : 127.5) * part);
  return Math.round(255 * (weight < 0 ? 0 : part));
}
