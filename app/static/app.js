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

// How hard a new password is to guess, while it is typed. This server alone is asked; what it refuses, it refuses anyway.
for (const input of document.querySelectorAll("[data-strength]")) {
  const meter = Object.assign(document.createElement("meter"), { className: "strength", max: 4, low: 2, high: 3, optimum: 4 });
  const words = Object.assign(document.createElement("p"), { className: "hint" });
  meter.setAttribute("aria-label", "Strength of the password");
  words.setAttribute("role", "status");
  meter.hidden = true;
  input.closest(".field").append(meter, words);
  let waiting, asked;

  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    const about = [...input.form.querySelectorAll("[autocomplete=given-name], [autocomplete=family-name], [type=email]")];
    try {
      const response = await fetch(input.dataset.strength, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ password: input.value, about: about.map((each) => each.value) }),
        signal: asked.signal,
      });
      if (!response.ok) throw new Error(response.statusText);
      const found = await response.json();
      meter.value = found.score;
      meter.hidden = false;
      words.textContent = found.reason || "This password is hard to guess.";
    } catch (error) {
      if (error.name === "AbortError") return;
      meter.hidden = true; // comfort only: the form says it as well
      words.textContent = "";
    }
  };

  input.addEventListener("input", () => {
    // What the server said of the former one is true no more.
    if (input.closest(".field").querySelector(".errors")) {
      input.closest(".field").querySelector(".errors").remove();
      input.removeAttribute("aria-invalid");
      input.setAttribute("aria-describedby", `${input.id}-hint`);
    }
    clearTimeout(waiting);
    asked?.abort();
    if (input.value) waiting = setTimeout(ask, 300);
    else {
      meter.hidden = true;
      words.textContent = "";
    }
  });
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
