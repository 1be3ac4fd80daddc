// Line drawings on a grid of 24, drawn with the colour of the words beside them.
const ICONS = {
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  go_on: "M5 12h13M12 6l6 6-6 6",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  cut: "M5 7h14M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3",
  fork: "M7 4v16M7 12c7 0 10-2 10-8M14 6l3-3 3 3",
  older: "M15 5l-7 7 7 7",
  newer: "M9 5l7 7-7 7",
  save: "M12 4v11M7 10l5 5 5-5M5 20h14",
  close: "M6 6l12 12M18 6L6 18",
  shelf: "M4 6h16M4 12h16M4 18h10",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  pin: "M9 4h6l-1 6 4 4H6l4-4zM12 14v6",
  known: "M6 4h12v16l-6-4-6 4z",
  people: "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 20c0-4 3-6 6-6s6 2 6 6M16 5a3 3 0 0 1 0 6M18 14c2 1 3 3 3 6",
  voice: "M5 10v4M9 7v10M13 4v16M17 8v8M21 11v2",
  hear: "M4 9h4l5-4v14l-5-4H4zM17 9a4 4 0 0 1 0 6",
  record: "M12 4a3 3 0 0 1 3 3v4a3 3 0 0 1-6 0V7a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v3",
  stop: "M7 7h10v10H7z",
};

function icon(name) {
  const NS = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(NS, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(NS, "path");
  line.setAttribute("d", ICONS[name]);
  drawing.append(line);
  return drawing;
}

function button(name, label, pressed, words = "") {
  const one = document.createElement("button");
  one.type = "button";
  one.dataset.act = name;
  one.setAttribute("aria-label", label);
  one.title = label;
  if (ICONS[name]) one.append(icon(name));
  if (words) one.append(words);
  one.addEventListener("click", pressed);
  return one;
}
