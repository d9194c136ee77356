// How well the largest weight of each row agrees with gold alignments.
import type { Scene } from "./scene";

// Alignment error rate: 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|), with S part of P (Och and Ney 2003), over all rows
// but the skipped ones, such as the end of the text.
export function errorRate(scene: Scene): number | null {
  if (!scene.gold) return null;
  const name = ([query, key]: [number, number]) => `${query} ${key}`;
  const sure = new Set(scene.gold.sure.map(name));
  const possible = new Set([...sure, ...scene.gold.possible.map(name)]);
  const skipped = new Set(scene.gold.skipped);
  let [links, hits] = [0, 0];
  for (let query = 0; query < scene.plane.rows; query++) {
    if (skipped.has(query)) continue;
    const [best] = scene.ranked("query", query, 1);
    if (!best) continue;
    links += 1;
    hits += Number(sure.has(name([query, best.index]))) + Number(possible.has(name([query, best.index])));
  }
  return links + sure.size ? 1 - hits / (links + sure.size) : null;
}
