/** Results as JSON, for the clipboard or a file: what the service said, without the pictures. */

/** What the file or the clipboard gets for these items. */
export function asJson(items) {
  const results = items.map((item) => ({
    file: item.name,
    asked: item.asked?.toISOString() ?? null,
    status: item.state,
    ...(item.refusal ?? {}),
    ...withoutPictures(item.answer ?? {}),
  }));
  return `${JSON.stringify(results.length === 1 ? results[0] : results, null, 2)}\n`;
}

function withoutPictures({ picture, activation_map, ...rest }) {
  return rest;
}

/** Puts them on the clipboard; false where the browser does not let the page. */
export async function copy(items) {
  const text = asJson(items);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text); // over plain HTTP there is no clipboard to write to
  }
}

function copiedByHand(text) {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/** Saves them as a file named after the image, or `results.json` for several. */
export function save(items, name) {
  const address = URL.createObjectURL(new Blob([asJson(items)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${name}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
