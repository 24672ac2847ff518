// Comfort only: every page does all it does without this file.

// Passwords can be looked at. They are hidden again when the form is sent, so that browsers do not keep them as text.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  const reveal = (shown) => {
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => reveal(input.type === "password"));
  input.form.addEventListener("submit", () => reveal(false));
  button.hidden = false;
}

// Flashes stay until somebody sends them away.
for (const button of document.querySelectorAll("[data-dismiss]")) {
  button.addEventListener("click", () => {
    button.parentElement.remove();
    document.getElementById("main").focus();
  });
  button.hidden = false;
}

// Menus close on a click elsewhere, on Escape, and when the focus leaves them.
const menus = [...document.querySelectorAll(".toggle")];

function closeAround(target) {
  for (const menu of menus) {
    if (!menu.parentElement.contains(target)) menu.open = false;
  }
}

document.addEventListener("click", (event) => closeAround(event.target));
document.addEventListener("focusin", (event) => closeAround(event.target));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus.filter((each) => each.open)) {
    const inside = menu.parentElement.contains(document.activeElement);
    menu.open = false;
    if (inside) menu.querySelector("summary").focus();
  }
});
