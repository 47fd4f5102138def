/** The model card's Markdown as elements: headings, paragraphs, lists, tables, bold and code. */

import { element } from "./element.js";

const DEEPEST = 6;

/** Elements of a text; its first headings get the level `from`. Links stay text: none is followed. */
export function markdown(text, from) {
  const blocks = [];
  const lines = text.split(/\r?\n/);
  while (lines.length > 0) {
    const block = taken(lines, from);
    if (block !== null) blocks.push(block);
  }
  return blocks;
}

function taken(lines, from) {
  const line = lines.shift();
  if (line.trim() === "") return null;
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) {
    const level = Math.min(from + heading[1].length - 1, DEEPEST);
    return element(`h${level}`, {}, ...spans(heading[2]));
  }
  if (/^```/.test(line)) return fenced(lines);
  if (isRow(line) && lines.length > 0 && isRule(lines[0])) return table(line, lines);
  if (isItem(line)) return list(line, lines);
  return paragraph(line, lines);
}

function paragraph(line, lines) {
  const words = [line.trim()];
  while (lines.length > 0 && !begins(lines[0])) words.push(lines.shift().trim());
  return element("p", {}, ...spans(words.join(" ")));
}

/** Whether a line ends the paragraph before it. */
function begins(line) {
  return line.trim() === "" || /^#{1,6}\s|^```/.test(line) || isItem(line) || isRow(line);
}

function isItem(line) {
  return /^\s*[-*]\s+/.test(line);
}

function list(line, lines) {
  const items = [line];
  while (lines.length > 0 && lines[0].trim() !== "" && !/^#{1,6}\s/.test(lines[0])) {
    if (isItem(lines[0])) items.push(lines.shift());
    else items[items.length - 1] += ` ${lines.shift().trim()}`;
  }
  const texts = items.map((item) => item.replace(/^\s*[-*]\s+/, ""));
  return element("ul", {}, ...texts.map((text) => element("li", {}, ...spans(text))));
}

function fenced(lines) {
  const code = [];
  while (lines.length > 0 && !/^```/.test(lines[0])) code.push(lines.shift());
  lines.shift();
  return element("pre", { tabindex: "0" }, code.join("\n"));
}

function isRow(line) {
  return /^\s*\|/.test(line);
}

function isRule(line) {
  return /^\s*\|[\s:|-]+\|?\s*$/.test(line);
}

/** The cells of a row; `\|` is a bar inside a cell. */
function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.replaceAll("\\|", "|").trim());
}

function table(head, lines) {
  lines.shift();
  const rows = [];
  while (lines.length > 0 && isRow(lines[0])) rows.push(cells(lines.shift()));
  const titles = cells(head).map((cell) => element("th", { scope: "col" }, ...spans(cell)));
  return scrolled(
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...titles)),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))),
    ),
  );
}

function cell(text, place) {
  return place === 0
    ? element("th", { scope: "row" }, ...spans(text))
    : element("td", {}, ...spans(text));
}

/** A wide table scrolls by itself, by keyboard too, and not the page. */
export function scrolled(made, label = null) {
  return element("div", { class: "scrolled", tabindex: "0", role: "group", "aria-label": label }, made);
}

/** Text with `**bold**` and `` `code` ``; all else is text as it stands. */
function spans(text) {
  return text
    .split(/(\*\*[^*]+\*\*|`[^`]+`)/)
    .filter((part) => part !== "")
    .map((part) => {
      if (/^\*\*[^*]+\*\*$/.test(part)) return element("strong", {}, part.slice(2, -2));
      if (/^`[^`]+`$/.test(part)) return element("code", {}, part.slice(1, -1));
      return part;
    });
}
