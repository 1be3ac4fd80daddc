// The cast: a button for each character. Names come from people, so they are set as text, never as markup.
const list = element.querySelector(".cast");

function card(one, chosen) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "card";
  button.dataset.id = one.id;
  button.setAttribute("aria-pressed", String(one.id === chosen));
  const words = document.createElement("span");
  words.className = "words";
  const name = document.createElement("strong");
  name.textContent = one.name;
  const line = document.createElement("span");
  line.textContent = one.line || "";
  words.append(name, line);
  button.append(faceOf(one), words);
  button.addEventListener("click", () => {
    for (const other of list.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    trigger("choose", { id: one.id });
  });
  return button;
}

function draw() {
  const value = props.value;
  if (!value || !value.cast) return;
  const chosen = list.querySelector('[aria-pressed="true"]')?.dataset.id;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  list.replaceChildren(...value.cast.map((one) => card(one, value.chosen)));
  if (value.chosen !== chosen) {
    list.querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: "nearest", inline: "center" });
  }
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

const told = (what) => window.dispatchEvent(new CustomEvent("chatacter:editor", { detail: what }));
element.querySelector(".add").addEventListener("click", () => told("new"));
watch("value", draw);
draw();
