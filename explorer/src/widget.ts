// A live page in a notebook: in a sandboxed frame, whose requests go to Python as messages of the widget.
interface Model {
  send(content: object): void;
  on(name: string, act: (content: { id: number; status: number }, buffers: DataView[]) => void): void;
  off(name: string, act: unknown): void;
}

const PAGE = -1; // the number of the request for the page itself

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const frame = document.createElement("iframe");
  // A document of its own, which reaches nothing of the notebook.
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.title = "attention, live";
  frame.style.cssText = "width:100%;height:45em;border:0";
  const asked = (event: MessageEvent) => {
    const { heedful, path } = (event.data ?? {}) as { heedful?: unknown; path?: unknown };
    if (event.source !== frame.contentWindow || typeof heedful !== "number" || heedful < 0) return;
    model.send({ id: heedful, path: String(path) });
  };
  const answered = (content: { id: number; status: number }, buffers: DataView[]) => {
    const { buffer, byteOffset, byteLength } = buffers[0];
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    if (content.id === PAGE) frame.srcdoc = new TextDecoder().decode(bytes as ArrayBuffer);
    else frame.contentWindow?.postMessage({ heedful: content.id, status: content.status, bytes }, "*");
  };
  window.addEventListener("message", asked);
  model.on("msg:custom", answered);
  el.append(frame);
  model.send({ id: PAGE, path: "" });
  return () => {
    window.removeEventListener("message", asked);
    model.off("msg:custom", answered);
    frame.remove();
  };
}

export default { render };
