// Who is in a conversation, in a sheet over the page: characters join and go, and it is said who answers.
const sheet = element.querySelector("dialog"), told = sheet.querySelector(".told");
const order = sheet.querySelector("select"), replies = sheet.querySelector("[name=replies]");
const name = sheet.querySelector("[name=name]"), description = sheet.querySelector("[name=description]");
let seen = 0; // the change that is shown
let awaited = false; // whether the sheet is to open with the next answer: a later one opens none that was closed

const ask = (what, value = "") => trigger("act", { what, value });

function person(one, act, label, words) {
  const row = document.createElement("li");
  row.dataset.id = one.id;
  const called = document.createElement("span");
  called.className = "text";
  called.textContent = one.name;
  row.append(faceOf(one), called);
  if (act) row.append(button(act, label, () => ask(act, one.id), words));
  return row;
}

function people(value, group) {
  sheet.querySelector(".here").replaceChildren(...value.here.map((one) => person(one, group && !one.stays ? "leave" : "", `Let ${one.name} go`, "Let go")));
  sheet.querySelector(".others").replaceChildren(...value.others.map((one) => person(one, "join", `Invite ${one.name}`, "Invite")));
  sheet.querySelector(".rest").hidden = !value.others.length;
  sheet.querySelector(".ways").hidden = !group;
}

function draw() {
  const value = props.value;
  if (!value || !value.at || value.at === seen) return;
  seen = value.at;
  told.textContent = value.told;
  told.hidden = !value.told;
  const group = value.here.length > 1;
  redrawn(sheet, () => people(value, group));
  order.replaceChildren(...Object.entries(value.orders).map(([name, words]) => new Option(words, name)));
  order.value = value.order;
  const now = [[replies, value.replies], [name, value.persona.name ?? ""], [description, value.persona.description ?? ""]];
  for (const [field, text] of now) if (document.activeElement !== field) field.value = text; // what is being typed stays
  if (!sheet.open && (awaited || value.told)) sheet.showModal();
  awaited = false;
}

for (const field of [name, description]) {
  field.addEventListener("change", () => ask("persona", JSON.stringify({ name: name.value, description: description.value })));
}
order.addEventListener("change", () => ask("order", order.value));
replies.addEventListener("change", () => ask("replies", replies.value));
sheet.querySelector("header").append(button("close", "Close", () => sheet.close()));
sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); });
window.addEventListener("chatacter:company", () => {
  awaited = true;
  ask("list");
});
watch("value", draw);
draw();
