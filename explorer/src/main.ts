// Draws every figure of a page: each stands where its data are named, and reads them from scripts that never run.
import { keepParts, type FigureData } from "./data";
import { make } from "./dom";
import { Figure } from "./figure";
import { Gates } from "./gates";
import { live } from "./live";

function mount(host: HTMLElement): void {
  const name = host.dataset.records as string;
  host.classList.add("figure");
  host.replaceChildren();
  try {
    if (!("DecompressionStream" in window)) throw new Error("this browser is too old to unpack it (no DecompressionStream)");
    const data = JSON.parse((document.getElementById(name) as HTMLElement).textContent as string) as FigureData;
    keepParts(data.parts ?? {});
    new Figure(host, data, name);
    if (data.gates?.length) host.append(new Gates(data.gates, data.tokens).box);
  } catch (error) {
    make("p", { class: "note", role: "alert" }, `The figure cannot be drawn: ${(error as Error).message}.`, host);
    throw error;
  }
}

document.querySelectorAll<HTMLElement>("[data-records]").forEach(mount);
// A page that comes to its records later asks for each figure by this event.
document.addEventListener("heedful:figure", (event) => mount(event.target as HTMLElement));
document.querySelectorAll<HTMLFormElement>("form[data-live]").forEach((form) => live(form, mount));
