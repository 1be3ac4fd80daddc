// The stage: the portrait, and the film that takes its place. Everything arrives as data, nothing is fetched.
const $ = (selector) => element.querySelector(selector);
const image = $(".portrait"), film = $("video"), name = $(".name"), line = $(".line"), initial = $(".initial");
const curtain = $(".curtain"), curtainWords = $(".curtain .what"), meter = $("progress");
const links = $(".film-links"), back = $(".back"), save = $(".save");

let shown = null; // the film on the stage
let url = null;

function blobOf(dataUrl) {
  const [head, body] = dataUrl.split(",", 2);
  return new Blob([Uint8Array.from(atob(body), (c) => c.charCodeAt(0))], { type: head.slice(5).split(";")[0] });
}

function show(on) {
  film.hidden = links.hidden = !on;
  if (!on) film.pause();
}

function person(who) {
  name.textContent = who.name;
  line.textContent = who.line || "";
  image.alt = `Portrait of ${who.name}`;
  image.hidden = !who.portrait;
  initial.hidden = Boolean(who.portrait);
  initial.textContent = who.name.slice(0, 1);
  if (who.portrait && image.src !== who.portrait) image.src = who.portrait;
}

function progress(now) {
  const working = Boolean(now && now.state === "working");
  curtain.hidden = !working;
  if (!working) return;
  curtainWords.textContent = `${now.told} …`;
  meter.value = now.percent;
}

function premiere(now) {
  shown = now.id;
  if (url) URL.revokeObjectURL(url);
  url = URL.createObjectURL(blobOf(now.source));
  film.src = url;
  film.setAttribute("aria-label", now.label);
  save.href = url;
  save.download = now.name;
  show(true);
  window.dispatchEvent(new Event("chatacter:hush"));
  film.play().catch(() => film.focus());
}

function draw() {
  const value = props.value;
  if (!value || !value.character) return;
  person(value.character);
  progress(value.film);
  if (!value.film) {
    shown = null;
    show(false);
  } else if (value.film.state === "ready" && shown !== value.film.id) {
    premiere(value.film);
  }
}

$(".edit").addEventListener("click", () => {
  window.dispatchEvent(new CustomEvent("chatacter:editor", { detail: "edit" }));
});
$(".sounds").addEventListener("click", () => window.dispatchEvent(new Event("chatacter:voices")));
back.addEventListener("click", () => show(false));
window.addEventListener("chatacter:voice", (event) => {
  $(".frame").classList.toggle("is-speaking", event.detail);
  if (event.detail) film.pause();
});
watch("value", draw);
draw();
