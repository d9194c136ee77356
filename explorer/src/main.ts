// Draws every figure of a page: each stands where its data are named, and reads them from scripts that never run.
import type { FigureData } from "./data";
import { make } from "./dom";
import { Figure } from "./figure";

for (const host of document.querySelectorAll<HTMLElement>("[data-records]")) {
  const name = host.dataset.records as string;
  try {
    if (!("DecompressionStream" in window)) throw new Error("this browser is too old to unpack it (no DecompressionStream)");
    const data = JSON.parse((document.getElementById(name) as HTMLElement).textContent as string) as FigureData;
    new Figure(host, data, name);
  } catch (error) {
    make("p", { class: "note", role: "alert" }, `The figure cannot be drawn: ${(error as Error).message}.`, host);
    throw error;
  }
}
