// A live page: what is typed is explained soon after, without a button.
import type { FigureData } from "./data";
import { make } from "./dom";
import { ask } from "./remote";

interface Explained {
  title: string;
  message: string;
  figures: { caption: string; data: FigureData }[];
}

const PAUSE = 350; // milliseconds without typing

export function live(form: HTMLFormElement, mount: (host: HTMLElement) => void): void {
  const place = document.getElementById("live") as HTMLElement;
  const message = document.getElementById("live-message") as HTMLElement;
  let timer = 0;
  let running: AbortController | null = null;
  let last = "";

  async function explain(): Promise<void> {
    clearTimeout(timer);
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) query.set(name, String(value));
    if (String(query) === last) return;
    last = String(query);
    running?.abort();
    const mine = (running = new AbortController());
    form.setAttribute("aria-busy", "true");
    try {
      const found = JSON.parse(new TextDecoder().decode(await ask(`explain?${query}`, mine.signal))) as Explained;
      if (running === mine) show(found);
    } catch (error) {
      if (running !== mine) return;
      message.textContent = `This was not explained: ${(error as Error).message}.`;
    }
    if (running === mine) form.removeAttribute("aria-busy");
  }

  function show(found: Explained): void {
    message.textContent = found.message;
    // While something cannot be explained, what was stays.
    if (found.message) return;
    document.title = found.title;
    (document.querySelector("h1") as HTMLElement).textContent = found.title;
    place.replaceChildren();
    found.figures.forEach(({ caption, data }, i) => {
      const name = `records-${i + 1}`;
      if (caption) make("h3", {}, caption, place);
      const host = make("div", { class: "figure", "data-records": name }, null, place);
      make("script", { type: "application/json", id: name }, JSON.stringify(data), place);
      mount(host);
    });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void explain();
  });
  // In a sandboxed frame forms are not submitted.
  form.querySelector("button")?.addEventListener("click", (event) => {
    event.preventDefault();
    void explain();
  });
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void explain(), PAUSE);
  });
}
