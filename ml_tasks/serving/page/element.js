/** Elements made of plain text: what comes from a file or the service never becomes markup. */

/**
 * An element with attributes, listeners (`onclick`), and children that are text or nodes.
 * Children that are null or false are left out.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== false));
  return made;
}

/** A pair of a description list. */
export function pair(term, ...told) {
  return element("div", {}, element("dt", {}, term), element("dd", {}, ...told));
}

/** A button that says what it does. */
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}
