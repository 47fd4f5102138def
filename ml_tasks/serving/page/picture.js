/** The cleaned picture with the heat map over it: shown or not, as strong as wanted, with a legend. */

import { element } from "./element.js";
import { strongest } from "./heatmap.js";
import { number, percent, say, told } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEGEND = "static/legend.png";
let made = 0; // for ids, which no two pictures may share

/** The figure of an item that was answered. */
export function picture(item) {
  const { answer } = item;
  if (!answer.picture) return element("p", { class: "quiet" }, say("picture.none"));
  const alt = say("picture.cleaned", { name: item.name });
  const film = element("img", { class: "film", src: png(answer.picture), alt });
  const caption = element("p", { class: "quiet small" });
  film.addEventListener("load", () => {
    const size = { width: number(film.naturalWidth, 0), height: number(film.naturalHeight, 0) };
    caption.textContent = say("picture.caption", size);
  });
  const stack = element("div", { class: "stack" }, film);
  const controls = answer.activation_map ? overlay(item, stack) : [];
  return element("figure", {}, stack, element("figcaption", {}, ...controls, caption));
}

/** Lays the heat map over the film, and gives what steers and explains it. */
function overlay(item, stack) {
  const positive = told("classes", item.answer.positive_class).text;
  const map = element("img", { class: "map", src: png(item.answer.activation_map), alt: "" });
  const layer = element("div", { class: "layer" }, map);
  const legend = element("img", { class: "ramp", src: LEGEND, alt: "" });
  const where = element("p", { class: "where small" });
  stack.append(layer);
  read(map, legend).then(
    (found) => {
      where.textContent = inWords(found, positive);
      if (found) layer.append(outline(found));
    },
    () => (where.textContent = say("picture.unreadable")),
  );
  return [
    ...controls(item, layer, map),
    element(
      "div",
      { class: "legend small", role: "group", "aria-label": say("picture.legend") },
      legend,
      element("span", {}, "− ", say("picture.against", { positive })),
      element("span", {}, "+ ", say("picture.for", { positive })),
    ),
    where,
  ];
}

function controls(item, layer, map) {
  const id = `map-${(made += 1)}`;
  const toggle = element("input", { type: "checkbox", id, checked: item.map });
  const range = { type: "range", id: `${id}-opacity`, min: 0, max: 100, step: 5, value: item.opacity };
  const slider = element("input", range);
  const output = element("span", { class: "told", "aria-hidden": "true" });
  const show = () => {
    item.map = toggle.checked;
    item.opacity = Number(slider.value);
    layer.hidden = !item.map;
    slider.disabled = !item.map;
    map.style.opacity = String(item.opacity / 100);
    output.textContent = percent(item.opacity / 100, 0);
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  toggle.addEventListener("change", show);
  slider.addEventListener("input", show);
  show();
  return [
    element("p", { class: "check" }, toggle, " ", element("label", { for: id }, say("picture.map"))),
    element(
      "p",
      { class: "slide" },
      element("label", { for: range.id }, say("picture.opacity")),
      element("span", { class: "row" }, slider, output),
    ),
  ];
}

/** Where the map is strongest, once both pictures can be read. */
async function read(map, legend) {
  await Promise.all([map.decode(), legend.decode()]);
  return strongest(map, legend);
}

function inWords(found, positive) {
  const coarse = say("picture.coarse");
  if (found === null) return `${say("picture.nowhere", { positive })} ${coarse}`;
  const place = say(`picture.places.${found.cell}`);
  return `${say("picture.outline", { positive, place })} ${coarse}`;
}

function outline({ path, width, height }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  for (const kind of ["under", "over"]) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    line.setAttribute("class", kind);
    svg.append(line);
  }
  return svg;
}

function png(base64) {
  return `data:image/png;base64,${base64}`;
}
