/** Where a heat map speaks for the positive class: read from its own pixels, told without colour. */

const FAINT = 12; // of 255: less colour says nothing
const STRONG = 0.75; // of the strongest: what the outline encloses

/** The pixels (RGBA) of a picture that has been loaded. */
function pixels(picture) {
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** The colours at both ends of the legend: against and for. */
function ends(legend) {
  const { data, width } = pixels(legend);
  const at = (place) => [...data.slice(place * 4, place * 4 + 3)];
  return { against: at(0), for: at(width - 1) };
}

function distance(data, place, colour) {
  return colour.reduce((sum, value, channel) => sum + (data[place * 4 + channel] - value) ** 2, 0);
}

/** How strongly each pixel speaks for the positive class, 0 to 255; 0 where it speaks against it. */
function support(map, legend) {
  const { data, width, height } = pixels(map);
  const colours = ends(legend);
  const strength = Uint8Array.from({ length: width * height }, (_, place) =>
    distance(data, place, colours.for) < distance(data, place, colours.against) ? data[place * 4 + 3] : 0,
  );
  return { strength, width, height };
}

/**
 * The strongest place as a cell of three by three (0 to 8, row by row) and the edges around what is
 * about as strong, as an SVG path in pixels of the map; null where no place speaks for it.
 */
export function strongest(map, legend) {
  const { strength, width, height } = support(map, legend);
  const most = strength.reduce((found, value) => Math.max(found, value), 0);
  if (most < FAINT) return null;
  const inside = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && strength[y * width + x] >= most * STRONG;
  const [x, y] = middle(strength, most, width);
  const cell = Math.min(2, Math.floor((3 * y) / height)) * 3 + Math.min(2, Math.floor((3 * x) / width));
  return { cell, path: edges(inside, width, height), width, height };
}

/** The middle of the pixels that are strongest. */
function middle(strength, most, width) {
  let [sumX, sumY, count] = [0, 0, 0];
  strength.forEach((value, place) => {
    if (value < most) return;
    sumX += place % width;
    sumY += Math.floor(place / width);
    count += 1;
  });
  return [sumX / count, sumY / count];
}

/** Every second pair of edges between inside and outside: a dashed line without joining them. */
function edges(inside, width, height) {
  const parts = [];
  for (let y = 0; y <= height; y += 1) {
    for (let x = 0; x <= width; x += 1) {
      if (((x + y) & 3) > 1) continue;
      if (inside(x, y) !== inside(x, y - 1)) parts.push(`M${x} ${y}h1`);
      if (inside(x, y) !== inside(x - 1, y)) parts.push(`M${x} ${y}v1`);
    }
  }
  return parts.join("");
}
