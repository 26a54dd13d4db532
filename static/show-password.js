// Offers to show what is typed into the password fields.
"use strict";
const choice = document.getElementById("show-password-choice");
const show = document.getElementById("show-password");
if (choice && show) {
  const fields = document.querySelectorAll("input[type=password]");
  const set = (type) => fields.forEach((field) => { field.type = type; });
  choice.hidden = false;
  show.addEventListener("change", () => set(show.checked ? "text" : "password"));
  // Browsers offer to remember what was sent from password fields only.
  show.form.addEventListener("submit", () => set("password"));
}
