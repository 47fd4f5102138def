/** Files as they come: chosen by the button, or dropped anywhere on the page. */

/** Calls `onfiles` with [{file, isFolder}]; `zone` shows that a drop would be taken. */
export function listen(field, zone, onfiles) {
  field.addEventListener("change", () => {
    onfiles([...field.files].map((file) => ({ file, isFolder: false })));
    field.value = ""; // so that the same file can be chosen again
  });
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  const over = (by) => {
    depth = by === 0 ? 0 : depth + by;
    zone.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", (event) => holdsFiles(event) && over(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && over(-1));
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // else a file that misses would replace the page
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    over(0);
    onfiles(dropped(event.dataTransfer));
  });
}

function holdsFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

function dropped(transfer) {
  return [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ file: item.getAsFile(), isFolder: item.webkitGetAsEntry?.()?.isDirectory ?? false }))
    .filter(({ file }) => file !== null);
}
