// The keyboard keeps its place while something is drawn anew: what had the focus is found again by its row and its deed.
// Where it is gone, its row has the focus, then the row in its place, then what stands around it.
function redrawn(sheet, draw) {
  const held = sheet.contains(document.activeElement) ? document.activeElement : null;
  const row = held?.closest("[data-id]"), rows = row?.parentElement, section = held?.closest("section");
  const place = row ? [...rows.children].indexOf(row) : 0;
  draw();
  const usable = (one) => !one.disabled && one.offsetParent !== null;
  if (!held || (held === document.activeElement && usable(held))) return;
  if (held.isConnected && usable(held)) return held.focus();
  const there = row && (sheet.querySelector(`[data-id="${CSS.escape(row.dataset.id)}"]`) ?? rows.children[Math.min(place, rows.children.length - 1)]);
  const within = (part) => part && [...part.querySelectorAll(`[data-act="${held.dataset.act}"]`), ...part.querySelectorAll("button, input, select, textarea")].find(usable);
  (within(there) ?? within(section) ?? within(sheet.querySelector("header")))?.focus();
}
