// Comfort only: every page works without this file.

// Passwords can be revealed. They are hidden again on submit, so that browsers do not store them as text.
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

// What is shown once is copied with a button. Where the browser does not allow that, it is selected to be copied by hand.
for (const button of document.querySelectorAll("[data-copy]")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  button.addEventListener("click", async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(input.value);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
    }
  });
  button.hidden = false;
}

// The strength of a new password, while it is typed. Only this server is asked, and it validates the password again on submit.
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
      meter.hidden = true; // the form will show the error
      words.textContent = "";
    }
  };

  input.addEventListener("input", () => {
    // The error was about the previous value.
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

// A form is sent once, however often its button is pressed. A page that comes back from the cache may send it again.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    // Where the answer is a download the page stays: after a while the button works again.
    setTimeout(() => delete form.dataset.sent, 5000);
  });
  addEventListener("pageshow", () => delete form.dataset.sent);
}

// Flashes stay until they are dismissed.
for (const button of document.querySelectorAll("[data-dismiss]")) {
  button.addEventListener("click", () => {
    button.parentElement.remove();
    document.getElementById("main").focus();
  });
  button.hidden = false;
}

// Menus close on a click elsewhere, on Escape, and when they lose the focus.
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
