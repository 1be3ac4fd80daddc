// The face of a character: its portrait, or the first letter of its name.
function faceOf(one) {
  const face = document.createElement(one.portrait ? "img" : "span");
  face.className = "face";
  if (one.portrait) {
    face.src = one.portrait;
    face.alt = "";
  } else {
    face.textContent = one.name.slice(0, 1);
    face.setAttribute("aria-hidden", "true");
  }
  return face;
}
