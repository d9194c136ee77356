// What a live page asks for: of its server, or of the notebook around its frame.
const how = document.documentElement.dataset.live;
const waiting = new Map<number, { done: (bytes: ArrayBuffer) => void; failed: (error: Error) => void }>();
let asked = 0;

export const isLive = how !== undefined;

if (how === "frame") {
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || typeof event.data?.heedful !== "number") return;
    const call = waiting.get(event.data.heedful);
    waiting.delete(event.data.heedful);
    if (event.data.status === 200) call?.done(event.data.bytes);
    else call?.failed(new Error("the notebook has no such part"));
  });
}

// The bytes of a path relative to the page.
export async function ask(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  if (how === "frame") {
    const id = ++asked;
    return new Promise((done, failed) => {
      waiting.set(id, { done, failed });
      window.parent.postMessage({ heedful: id, path }, "*");
    });
  }
  const answer = await fetch(path, { signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.arrayBuffer();
}
