// One character in a sheet over the page: made, changed, brought in and kept as a card. Texts are set as values only.
const sheet = element.querySelector("dialog"), form = sheet.querySelector("form"), footer = sheet.querySelector("footer");
const title = sheet.querySelector("h2"), told = sheet.querySelector(".told"), image = sheet.querySelector("img");
const TEXTS = ["name", "description", "personality", "scenario", "system_prompt"];
const CARDS = [["png", "PNG"], ["json", "JSON"], ["charx", "CHARX"]];
const field = (name) => form.elements[name];
let seen = 0; // the change that is shown
let shown = {}; // the character that the sheet was opened with
let models = new Map(); // each voice's speech model
let picture = null; // one that was chosen and not yet sent
let awaited = false; // whether the sheet is to open with the next answer: a later one opens none that was closed

const ask = (what, more = {}) => trigger("act", { what, id: shown.character?.id ?? "", ...more });

function say(sentence) {
  told.textContent = sentence;
  told.hidden = !sentence;
  if (sentence) told.scrollIntoView({ block: "nearest" });
}

function area(label, value, rows = 2) {
  const one = document.createElement("textarea");
  one.rows = rows;
  one.value = value;
  one.setAttribute("aria-label", label);
  return one;
}

function entry(fields, what) {
  const row = document.createElement("div");
  row.className = "entry";
  row.append(...fields, button("cut", `Take this ${what} away`, () => row.remove()));
  return row;
}

const greeting = (text) => entry([area("Greeting", text)], "greeting");
const example = (one) => entry([area("Somebody says", one.user), area("It answers", one.assistant)], "example");

function fill(name, rows, add, words) {
  const all = sheet.querySelector(`.${name}`);
  all.querySelectorAll(".entry, .add").forEach((each) => each.remove());
  const more = button("more-of", words, () => {
    more.before(add());
    more.previousElementSibling.querySelector("textarea").focus();
  }, words);
  more.classList.add("add");
  all.append(...rows, more);
}

// A voice belongs to a speech model: choosing one names the other, where it is not everybody's.
function voices(all, chosen, model) {
  models = new Map(all.map((one) => [one.id, one.model]));
  const known = all.map((one) => new Option(one.label, one.id));
  if (chosen && !models.has(chosen)) {
    known.push(new Option(chosen, chosen));
    models.set(chosen, model);
  }
  field("voice").replaceChildren(new Option("As installed", ""), ...known);
  field("voice").value = chosen || "";
}

function lore(book) {
  field("lorebook").value = book ? JSON.stringify(book, null, 2) : "";
  const table = sheet.querySelector("table");
  table.hidden = !book?.entries?.length;
  table.tBodies[0].replaceChildren(...(book?.entries ?? []).map((one) => {
    const row = document.createElement("tr");
    for (const text of [one.constant ? "always" : (one.keys ?? []).join(", "), one.content ?? ""]) row.insertCell().textContent = text;
    return row;
  }));
}

function face(source) {
  image.hidden = !source;
  if (source) image.src = source;
}

function write(value) {
  shown = value;
  const one = value.character;
  for (const name of TEXTS) field(name).value = one[name] ?? "";
  field("id").value = one.id ?? "";
  sheet.querySelector(".id").hidden = !value.new;
  fill("greetings", (one.greetings ?? []).map(greeting), () => greeting(""), "Another greeting");
  fill("examples", (one.examples ?? []).map(example), () => example({ user: "", assistant: "" }), "Another example");
  voices(value.voices, one.voice, one.speech_model);
  lore(one.lorebook);
  picture = null;
  face(value.portrait);
  title.textContent = value.new ? "A new character" : one.name;
  buttons(value);
}

function buttons(value) {
  const done = button("save", "", () => form.requestSubmit(), value.new ? "Create" : "Save");
  done.removeAttribute("aria-label");
  done.removeAttribute("title");
  done.className = "strong main";
  footer.replaceChildren(done);
  if (value.new) {
    const label = "Import a card";
    footer.append(chooser(label, ".png,.apng,.json,.charx,.jpg,.jpeg", (file) => ask("import", file)));
    return;
  }
  const cards = document.createElement("span");
  cards.className = "cards";
  cards.append("Keep as a card:", ...CARDS.map(([kind, words]) => button(kind, `Keep as a card: ${words}`, () => ask("export", { form: kind }), words)));
  footer.append(cards);
  const gone = { own: "Delete", override: "Back to the original" }[value.character.origin];
  if (!gone) return;
  const away = button("delete", gone, () => {
    if (away.classList.contains("grave")) return ask("delete");
    away.classList.add("grave");
    away.textContent = `${gone}: press again`;
    away.setAttribute("aria-label", away.textContent);
  }, gone);
  footer.append(away);
}

function typed(name) {
  return [...sheet.querySelectorAll(`.${name} .entry`)].map((row) => [...row.querySelectorAll("textarea")].map((one) => one.value.trim()));
}

function collected() {
  const fields = Object.fromEntries(TEXTS.map((name) => [name, field(name).value.trim()]));
  fields.greetings = typed("greetings").map(([text]) => text).filter(Boolean);
  fields.examples = typed("examples").filter(([user, assistant]) => user || assistant).map(([user, assistant]) => ({ user, assistant }));
  fields.voice = field("voice").value || null;
  fields.speech_model = models.get(fields.voice) ?? null;
  fields.lorebook = field("lorebook").value.trim() ? JSON.parse(field("lorebook").value) : null;
  if (shown.new) fields.id = field("id").value.trim();
  return fields;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    ask("save", { fields: JSON.stringify(collected()), picture: picture ?? "", etag: shown.etag ?? "" });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    sheet.querySelector(".lore").open = true;
    say("The lorebook is not JSON. Nothing was saved.");
  }
});

field("name").addEventListener("input", () => {
  if (shown.new) field("id").value = field("name").value.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64);
});

function draw() {
  const value = props.value;
  if (!value || !value.at || value.at === seen) return;
  seen = value.at;
  if (value.character && value.fresh) write(value);
  say(value.told);
  if (value.file) save(value.file);
  if (!value.open) sheet.close();
  else if (!sheet.open && (awaited || (value.told && !value.fresh))) sheet.showModal();
  awaited = false;
}

sheet.querySelector(".picture").append(
  chooser("Picture", "image/png,image/jpeg,image/webp", (file) => {
    picture = `${file.type},${file.data}`;
    face(`data:${file.type};base64,${file.data}`);
  }),
);
sheet.querySelector("header").append(button("close", "Close", () => sheet.close()));
sheet.addEventListener("dragover", (event) => event.preventDefault());
sheet.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (file && shown.new) read(file, (found) => ask("import", found));
});
window.addEventListener("chatacter:editor", (event) => {
  awaited = true;
  ask(event.detail);
});
watch("value", draw);
draw();
