// The hatching of masked cells: never mistaken for a weight of 0.
export function hatching(context: CanvasRenderingContext2D): CanvasPattern {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const brush = tile.getContext("2d") as CanvasRenderingContext2D;
  const style = getComputedStyle(document.documentElement);
  brush.fillStyle = style.getPropertyValue("--paper");
  brush.fillRect(0, 0, 6, 6);
  brush.strokeStyle = style.getPropertyValue("--hatch");
  brush.beginPath();
  for (const shift of [-6, 0, 6]) {
    brush.moveTo(shift, 6);
    brush.lineTo(shift + 6, 0);
  }
  brush.stroke();
  return context.createPattern(tile, "repeat") as CanvasPattern;
}
