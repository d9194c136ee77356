// What a live page asks for: by `transport.ts`, which only live pages have.
type Ask = (path: string, signal?: AbortSignal) => Promise<ArrayBuffer>;

const found = (window as unknown as { heedfulAsk?: Ask }).heedfulAsk;

export const isLive = found !== undefined;

// The bytes of a path relative to the page.
export const ask: Ask = (path, signal) => (found as Ask)(path, signal);
