// How a live page asks, and the only script that does: its server, or the notebook around its frame. Other pages lack it.
type Waiting = { done: (bytes: ArrayBuffer) => void; failed: (error: Error) => void };

const waiting = new Map<number, Waiting>();
let asked = 0;

function askFrame(path: string): Promise<ArrayBuffer> {
  const id = ++asked;
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    window.parent.postMessage({ heedful: id, path }, "*");
  });
}

async function askServer(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const answer = await fetch(path, { signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.arrayBuffer();
}

const isFrame = document.documentElement.dataset.live === "frame";
if (isFrame) {
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || typeof event.data?.heedful !== "number") return;
    const call = waiting.get(event.data.heedful);
    waiting.delete(event.data.heedful);
    if (event.data.status === 200) call?.done(event.data.bytes);
    else call?.failed(new Error("the notebook has no such part"));
  });
}
(window as unknown as { heedfulAsk: unknown }).heedfulAsk = isFrame ? askFrame : askServer;
