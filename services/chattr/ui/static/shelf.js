// The conversations with a character, in a sheet over the page: open, rename, keep as a file, delete, bring in.
const sheet = element.querySelector("dialog"), list = sheet.querySelector("ul");
const title = sheet.querySelector("h2"), told = sheet.querySelector(".told");
const FORMS = [["json", "As a whole"], ["sillytavern", "For SillyTavern"]];
let seen = 0; // the change that is shown
let open = null; // the row that asks something: { id, how }, and what it asks with
let awaited = false; // whether the sheet is to open with the next answer: a later one opens none that was closed

const ask = (what, more = {}) => trigger("act", { what, id: "", ...more });
const when = (seconds) =>
  new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

function look(id, how) {
  return () => {
    open = how ? { id, how } : null;
    draw();
    const row = list.querySelector(`[data-id="${CSS.escape(id)}"]`);
    row?.querySelector(how ? "input, .ask button" : "button")?.focus();
  };
}

function answer(...parts) {
  const row = document.createElement("div");
  row.className = "ask";
  row.append(...parts);
  return row;
}

function renaming(one) {
  const form = document.createElement("form");
  form.className = "ask";
  const field = document.createElement("input");
  field.value = one.title;
  field.maxLength = 200;
  field.setAttribute("aria-label", "Title");
  const done = button("yes", "Rename", () => {}, "Rename");
  done.type = "submit";
  form.append(field, done, button("no", "Cancel", look(one.id, null), "Cancel"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    open = null;
    ask("rename", { id: one.id, title: field.value.trim() });
  });
  return form;
}

function questions(one, how) {
  if (how === "rename") return renaming(one);
  const no = button("no", "Cancel", look(one.id, null), "Cancel");
  if (how === "delete") {
    const yes = button("yes", `Delete ${one.title}`, () => ask("delete", { id: one.id }), "Delete");
    yes.classList.add("grave");
    return answer("Delete this conversation for good?", yes, no);
  }
  const forms = FORMS.map(([form, words]) => button(form, words, () => {
    look(one.id, null)();
    ask("export", { id: one.id, form });
  }, words));
  return answer("Keep as a file:", ...forms, no);
}

function row(one, current) {
  const item = document.createElement("li");
  item.dataset.id = one.id;
  const choose = document.createElement("button");
  choose.type = "button";
  choose.className = "choice";
  if (one.id === current) choose.setAttribute("aria-current", "true");
  const name = document.createElement("strong");
  name.textContent = one.title;
  const date = document.createElement("span");
  date.textContent = when(one.when);
  choose.append(name, date);
  choose.addEventListener("click", () => {
    sheet.close();
    ask("open", { id: one.id });
  });
  item.append(choose);
  for (const [act, icon, label] of [["rename", "edit", "Rename"], ["export", "save", "Keep as a file"], ["delete", "cut", "Delete"]]) {
    item.append(button(icon, `${label}: ${one.title}`, look(one.id, act)));
  }
  if (open && open.id === one.id) item.append(open.asked ??= questions(one, open.how));
  return item;
}

function draw() {
  const value = props.value;
  if (!value || !value.at) return;
  title.textContent = `Conversations with ${value.name}`;
  told.textContent = value.told;
  told.hidden = !value.told;
  redrawn(sheet, () => list.replaceChildren(...value.items.map((one) => row(one, value.current))));
  if (value.at === seen) return;
  seen = value.at;
  if (value.file) save(value.file);
  if (!value.open) sheet.close();
  else if (!sheet.open && (awaited || value.told)) sheet.showModal();
  awaited = false;
}

const close = button("close", "Close", () => sheet.close());
sheet.querySelector("header").append(close);
sheet.querySelector("footer").append(
  chooser("Bring one in from a file", ".json,.jsonl", (file) => ask("import", file)),
);
sheet.addEventListener("close", () => { open = null; });
sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
window.addEventListener("chatacter:shelf", () => {
  awaited = true;
  ask("list");
});
watch("value", draw);
draw();
